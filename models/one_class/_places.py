"""What detectors have in common that judge the places of a feature map by a Gaussian.

Shapes: B = batch, C = channels, H W = image, D = features, h w = feature map.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.capabilities import Observation, Reference
from models.contracts import Encoder, Scores
from models.errors import InvalidInputError
from models.functional.gaussian import Moments
from models.functional.receptive_field import ReceptiveField
from models.one_class._features import NUM_OF_FLOW, describe_normal, place_features, widened
from models.one_class._gaussian import Gaussian
from models.one_class._parts import parts


class PlaceDetector(nn.Module, ABC):
    """Score the places of an image by their feature vectors, then roll back to pixels.

    Scores are at least 1 exactly where a place, a pixel or an image is rejected, so ``threshold``
    and ``pixel_threshold`` are 1. A subclass says how places are judged; its ``Config`` has the
    fields that ``check_places`` looks at.

    Args:
        encoder: Trained trunk; it is frozen.
        config: Hyper-parameters.
    """

    encoder: Encoder

    def __init__(self, encoder: Encoder, config: Any) -> None:
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        self.config = config
        self.feature_dim = encoder.embedding_dim + (
            NUM_OF_FLOW[config.flow] if config.movement else 0
        )

    def train(self, mode: bool = True) -> "PlaceDetector":  # noqa: ARG002, FBT001, FBT002
        """Stay in evaluation mode."""
        super().train(False)
        return self

    @property
    def threshold(self) -> float:
        """Image score from which an image is called anomalous: 1."""
        self._check_fitted()
        return 1.0

    @property
    def pixel_threshold(self) -> float:
        """Value of the anomaly map from which a pixel is called anomalous: 1."""
        return self.threshold

    @property
    def receptive_field(self) -> ReceptiveField:
        """Pixels that one place is judged by: the trunk's, widened by the neighbourhood."""
        return widened(self.encoder.receptive_field, self.config.neighbourhood)

    def forward(self, images: Float[Tensor, "B C H W"]) -> Scores:
        """Score a batch of images.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        return self.observe(images).scores

    @torch.no_grad()
    def observe(self, images: Float[Tensor, "B C H W"], /) -> Observation:
        """Score a batch of images, and hand on the vectors that were judged.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        found = zip(*map(self._observed, parts(images)), strict=True)
        image_score, anomaly_map, features = (
            each[0] if len(each) == 1 else torch.cat(each) for each in found
        )
        return Observation(Scores(image_score, anomaly_map), features)

    def _observed(self, images: Float[Tensor, "B C H W"]) -> tuple[Tensor, Tensor, Tensor]:
        """Image scores, anomaly maps and features."""
        features = self._features(images)
        anomaly_map = self._map(features, images.shape[-2:])
        return anomaly_map.amax(dim=(1, 2)), anomaly_map, features.flatten(1, 2)

    def reference(self) -> Reference:
        """Mean, covariance and whitener of the normal vectors.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        learned = self._learned()
        return Reference(learned.mean_, learned.covariance_, learned.whitener_)

    def _features(self, images: Tensor) -> Float[Tensor, "B h w D"]:
        return place_features(
            self.encoder,
            images.to(self._learned().mean_.device),
            side=self.config.neighbourhood,
            with_movement=self.config.movement > 0,
            flow=self.config.flow,
        )

    def _describe_normal(self, moments: Moments) -> None:
        """Fit the Gaussian that judges every place."""
        config = self.config
        describe_normal(
            self._learned(),
            moments,
            self.encoder.embedding_dim,
            shrinkage=config.shrinkage,
            movement=config.movement,
            change=config.change,
            flow=config.flow,
        )

    @abstractmethod
    def statistics(self) -> Mapping[str, Tensor]:
        """Mean, maximum-likelihood covariance and count of its Gaussians, float64."""

    @abstractmethod
    def _learned(self) -> Gaussian:
        """The Gaussian that judges every place."""

    @abstractmethod
    def _map(self, features: Float[Tensor, "B h w D"], size: torch.Size) -> Float[Tensor, "B H W"]:
        """Scores of the pixels of images whose places have these features."""

    @abstractmethod
    def _check_fitted(self) -> None:
        """Raise unless ``fit`` came to its end."""


def check_places(config: Any) -> None:
    """Raise unless the settings that all such detectors share are in their ranges.

    Raises:
        InvalidInputError: Otherwise.
    """
    if not 0 < config.false_alarm_rate < 1:
        raise InvalidInputError(
            f"false_alarm_rate must be in (0, 1), got {config.false_alarm_rate}."
        )
    if not 0 < config.shrinkage <= 1 or min(config.movement, config.change) < 0:
        raise InvalidInputError(
            "shrinkage must be in (0, 1], movement and change >= 0, got "
            f"{config.shrinkage}, {config.movement} and {config.change}."
        )
    if config.flow not in NUM_OF_FLOW:
        raise InvalidInputError(
            f"flow must be one of {', '.join(NUM_OF_FLOW)}, got {config.flow!r}."
        )
    if config.num_votes < 1 or config.neighbourhood < 1 or config.neighbourhood % 2 == 0:
        raise InvalidInputError(
            "num_votes must be >= 1 and neighbourhood odd, got "
            f"{config.num_votes} and {config.neighbourhood}."
        )
