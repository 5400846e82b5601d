"""One Gaussian on the appearance and the speed of places: what moves unusually is anomalous.

Shapes: B = batch, C = channels, H W = image, D = features, h w = feature map.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from models.capabilities import Observation, Reference
from models.contracts import Encoder, Progress, Scores, shown, silent
from models.errors import InvalidInputError, TrainingError
from models.fitting import begin, check_fitted, frozen, image_threshold, learned
from models.functional.gaussian import Moments
from models.functional.perspective import RowSpeeds, row_scales
from models.functional.receptive_field import ReceptiveField, roll_back
from models.gaussians import Gaussian
from models.places import (
    NUM_OF_FLOW,
    check_motion,
    check_places,
    fit_gaussian,
    observed,
    place_features,
    reference_of,
    widened,
)
from models.training import cpu


class MotionGaussian(nn.Module):
    """Score each place by the Mahalanobis distance of its appearance and movement to normal ones.

    A place is described by the features of a frozen trunk and by how fast what is around it moves,
    and which way; one Gaussian holds both, or movement alone (``appearance=False``). With
    ``perspective``, speeds are first divided by what is usual so high or low in the image. A recipe
    for clips averages image scores over a few frames besides (``Training.smoothing``).

    It has no paper. It began as an extension of ``DeepAnomaly``, whose first Gaussian and roll-back
    it shares; there is no cascade. ``PooledGaussian`` is the same without perspective, for data
    that comes and goes.

    Scores are distances in units of the largest that counts as normal, so ``threshold`` and
    ``pixel_threshold`` are 1. Dimensionless, >= 0.

    Args:
        encoder: Trained trunk; it is frozen.
        config: Hyper-parameters.

    Attributes:
        gaussian: Of the feature vectors.
        limit_: Distance that the wanted share of calibration images reaches.
        perspective_: Row of the feature map in which speeds keep their size, and by how much more
            they are divided in the next one; 0 without ``perspective``. Shape (2,).
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the Gaussian."""

        false_alarm_rate: float = 0.05
        """Share of calibration images that may be called anomalous, in (0, 1)."""
        num_votes: int = 4
        """Receptive fields that must cover an anomalous pixel and agree, >= 1."""
        neighbourhood: int = 3
        """Side of the square of places over which features are averaged, odd."""
        movement: float = 3.0
        """Spread of each statistic of ``models.functional.movement`` against the trunk's features,
        >= 0; 0 leaves all of them out. Stills have none."""
        change: float = 3.0
        """Spread of those of them that tell how much gray levels change, >= 0."""
        flow: str = "gradients"
        """How movement is found: ``gradients`` is fine where figures are large and distinct;
        ``blocks`` matches blocks of 28 pixels, which rarely errs on small ones, up to 6 pixels in
        one frame. Speeds of blocks keep their unit, and are a part of their own: ``movement`` is
        then the mean squared distance of normal places by them, against that by the trunk's
        features, and ``change`` has no say."""
        perspective: bool = False
        """Divide speeds by what is usual so high or low in the image, as far as that changes along
        a line from top to bottom: what is closer to the camera looks faster. Only for ``blocks``,
        and for a camera that stands still."""
        appearance: bool = True
        """Judge the trunk's features beside movement. False judges movement alone: the trunk only
        says where places are, needs no training and computes nothing."""
        shrinkage: float = 0.1
        """Weight of the identity in the covariance, in (0, 1]."""

        def __post_init__(self) -> None:
            check_places(
                false_alarm_rate=self.false_alarm_rate,
                shrinkage=self.shrinkage,
                num_votes=self.num_votes,
                neighbourhood=self.neighbourhood,
            )
            check_motion(self)
            if self.perspective and not (self.flow == "blocks" and self.movement):
                raise InvalidInputError(
                    "perspective is one of speeds: it needs flow='blocks' and movement > 0, got "
                    f"{self.flow!r} and {self.movement}."
                )

            if not (self.appearance or self.movement):
                raise InvalidInputError(
                    "There must be something to judge: appearance=False needs movement > 0, got "
                    f"{self.movement}."
                )

        def build(self, encoder: Encoder) -> "MotionGaussian":
            """Return an unfitted detector on top of an encoder."""
            return MotionGaussian(encoder, self)

    encoder: Encoder
    limit_: Tensor
    perspective_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.encoder, self.config = frozen(encoder), config
        num_moved = NUM_OF_FLOW[config.flow] if config.movement else 0
        self._num_trunk = encoder.embedding_dim if config.appearance else 0
        self.gaussian = Gaussian(self._num_trunk + num_moved)
        learned(self, limit_=(), perspective_=(2,))

    @property
    def threshold(self) -> float:
        """Image score from which an image is called anomalous: 1."""
        check_fitted(self.limit_, self)
        return 1.0

    @property
    def pixel_threshold(self) -> float:
        """Value of the anomaly map from which a pixel is called anomalous: 1."""
        return self.threshold

    @property
    def receptive_field(self) -> ReceptiveField:
        """Pixels that one place is judged by: the trunk's, widened by the neighbourhood."""
        return widened(self.encoder.receptive_field, self.config.neighbourhood)

    @torch.no_grad()
    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "MotionGaussian":
        """Learn what is normal, forgetting any earlier fit.

        Args:
            batches: Normal images; iterated once, twice with ``perspective``.
            calibration: Other normal images, which alone set the threshold; iterated once.
            fabric: Device; the CPU if None. Features are float32, statistics float64.
            progress: Shows the passes over the data.

        Raises:
            TrainingError: If there are no images, or their features are constant or not finite.
        """
        begin(self, self.limit_, fabric)
        self.perspective_.zero_()
        if self.config.perspective:
            seen = RowSpeeds()
            for images in shown(batches, progress, "Perspective"):
                seen.update(self._features(images)[..., self._num_trunk])
            self.perspective_.copy_(seen.line())
        moments = Moments(len(self.gaussian.mean_), self.limit_.device)
        for images in shown(batches, progress, "Moments"):
            moments.update(self._features(images).flatten(end_dim=2))
        if not (self._num_trunk or moments.scatter.any()):
            raise TrainingError(
                "Movement alone is judged (appearance=False), and nothing moves in the normal "
                "images. Give clips in which something does, or set appearance=True."
            )
        fit_gaussian(self.gaussian, moments, self._num_trunk, self.config)
        self._calibrate(calibration, progress)
        return self

    @torch.no_grad()
    def recalibrate(
        self,
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "MotionGaussian":
        """Set the threshold from normal images of another camera; all else stays.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.limit_, self)
        self.to((fabric or cpu()).device)
        self._calibrate(calibration, progress)
        return self

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
        check_fitted(self.limit_, self)
        return observed(images, self._features, self._map)

    def reference(self) -> Reference:
        """Mean, covariance and whitener of the normal vectors.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.limit_, self)
        return reference_of(self.gaussian)

    def statistics(self) -> Mapping[str, Tensor]:
        """Mean, maximum-likelihood covariance and count, and the perspective, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.limit_, self)
        found = self.gaussian.statistics()
        return {**found, "perspective": self.perspective_} if self.config.perspective else found

    def _features(self, images: Tensor) -> Float[Tensor, "B h w D"]:
        config = self.config
        features = place_features(
            self.encoder,
            images.to(self.limit_.device),
            side=config.neighbourhood,
            flow=config.flow if config.movement else None,
            appearance=config.appearance,
        )
        if config.perspective:
            scales = row_scales(self.perspective_, features.shape[1]).to(features)
            features[..., self._num_trunk :] /= scales[:, None, None]
        return features

    def _distances(self, images: Tensor) -> Scores:
        """Distances of images and pixels, not yet in units of the limit."""
        distances = self._rolled_back(self._features(images), images.shape[-2:])
        return Scores(distances.amax(dim=(1, 2)), distances)

    def _map(self, features: Float[Tensor, "B h w D"], size: torch.Size) -> Float[Tensor, "B H W"]:
        distances = self._rolled_back(features, size)
        return distances / self.limit_.to(distances)

    def _rolled_back(
        self, features: Float[Tensor, "B h w D"], size: torch.Size
    ) -> Float[Tensor, "B H W"]:
        """At each pixel, the distance that ``num_votes`` of the fields that cover it reach."""
        distances = self.gaussian(features)
        field, votes = self.receptive_field, self.config.num_votes
        return roll_back(distances, field, *size, num_votes=votes).clamp(min=0)

    def _calibrate(self, calibration: Iterable[Tensor], progress: Progress) -> None:
        device, rate = self.limit_.device, self.config.false_alarm_rate
        self.limit_.fill_(image_threshold(self._distances, calibration, rate, progress, device))
