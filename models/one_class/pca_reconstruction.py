"""PCA reconstruction: an image is as anomalous as its embedding leaves the normal subspace.

Shapes: B = batch, C = channels, H W = image, D = features.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from models.contracts import Encoder, Progress, Scores, shown, silent
from models.errors import InvalidInputError, TrainingError
from models.fitting import (
    begin,
    check_fitted,
    check_rate,
    frozen,
    image_threshold,
    learned,
    statistics_of,
    value_of,
)
from models.functional.embeddings import embed, embedding_dim
from models.functional.gaussian import Moments


class PCAReconstruction(nn.Module):
    """Score by the distance between an embedding and its projection on principal components.

    The components span what most of the variance of normal embeddings lies in. Scores are
    Euclidean distances, >= 0, in the units of the encoder's features.

    Args:
        encoder: Trained encoder; it is frozen.
        config: Hyper-parameters.

    Attributes:
        mean_: Mean normal embedding. Shape (D,).
        components_: Orthonormal rows, largest variance first, followed by rows of zeros.
            Shape (D, D).
        variances_: Variance of normal embeddings along every principal axis, also those that are
            left out, descending. Shape (D,).

    References:
        Jackson and Mudholkar, 1979, "Control Procedures for Residuals Associated With Principal
        Component Analysis", section 2. https://doi.org/10.2307/1267757
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of PCA reconstruction."""

        explained: float = 0.9
        """Share of the variance that the components must at least explain, in (0, 1)."""
        grid: int = 1
        """The feature map is averaged over grid x grid parts, >= 1."""
        false_alarm_rate: float = 0.05
        """Share of calibration images that may be called anomalous, in (0, 1)."""

        def __post_init__(self) -> None:
            check_rate(self.false_alarm_rate)
            if not 0 < self.explained < 1:
                raise InvalidInputError(f"explained must be in (0, 1), got {self.explained}.")

        def build(self, encoder: Encoder) -> "PCAReconstruction":
            """Return an unfitted detector on top of an encoder."""
            return PCAReconstruction(encoder, self)

    encoder: Encoder
    threshold_: Tensor
    mean_: Tensor
    components_: Tensor
    variances_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.encoder, self.config = frozen(encoder), config
        dim = embedding_dim(encoder, config.grid)
        learned(self, threshold_=(), mean_=(dim,), components_=(dim, dim), variances_=(dim,))

    @property
    def threshold(self) -> float:
        """Image score from which an image is called anomalous."""
        return value_of(self.threshold_, self)

    @property
    def pixel_threshold(self) -> float:
        """Value of the anomaly map from which a pixel is called anomalous: the same."""
        return self.threshold

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "PCAReconstruction":
        """Learn what is normal, forgetting any earlier fit; see ``models.contracts.Detector``.

        Raises:
            TrainingError: If there are no images, or what they give is not finite.
            InvalidInputError: If the images do not fit the encoder or the configuration.
        """
        fabric = begin(self, self.threshold_, fabric)
        self._learn(batches, fabric, progress)
        rate = self.config.false_alarm_rate
        threshold = image_threshold(self._score, calibration, rate, progress, fabric.device)
        self.threshold_.copy_(threshold)
        return self

    def forward(self, images: Float[Tensor, "B C H W"]) -> Scores:
        """Score a batch of images.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.threshold_, self)
        return self._score(images.to(self.threshold_.device))

    def statistics(self) -> Mapping[str, Tensor]:
        """What was learned, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.threshold_, self)
        return statistics_of(self)

    def _learn(self, batches: Iterable[Tensor], fabric: Fabric, progress: Progress) -> None:
        moments = Moments(len(self.mean_), fabric.device)
        for images in shown(batches, progress, "Principal components"):
            moments.update(embed(self.encoder, images.to(fabric.device), self.config.grid))
        if moments.count < 2 or not moments.scatter.diagonal().sum() > 0:
            raise TrainingError(
                f"Principal components need images that differ, got {moments.count}, all alike. "
                "Check the training images."
            )
        values, vectors = torch.linalg.eigh(moments.covariance(0.0))
        variances, axes = values.flip(0).clamp(min=0), vectors.flip(1).mT
        explained = variances.cumsum(0) / variances.sum()
        used = torch.arange(len(explained), device=axes.device)
        used = used <= int((explained < self.config.explained).sum())
        self.mean_.copy_(moments.mean)
        self.variances_.copy_(variances)
        self.components_.copy_(axes * used[:, None])

    @torch.no_grad()
    def _score(self, images: Float[Tensor, "B C H W"]) -> Scores:
        centred = embed(self.encoder, images, self.config.grid).double() - self.mean_
        left = centred - centred @ self.components_.mT @ self.components_
        return Scores(left.norm(dim=1).float())
