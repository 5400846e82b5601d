"""One shrunk Gaussian on the feature vectors of a frozen trunk, pooled over all positions.

Shapes: B = batch, C = channels, H W = image, D = features, h w = feature map.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor

from models.contracts import Encoder, Progress, shown, silent
from models.errors import NotFittedError, TrainingError
from models.functional.gaussian import Moments
from models.functional.receptive_field import roll_back
from models.functional.thresholds import exceeded_by
from models.one_class._gaussian import Gaussian
from models.one_class._places import PlaceDetector, check_places


class PooledGaussian(PlaceDetector):
    """Score each place by its Mahalanobis distance to all normal places of all normal images.

    It is the first Gaussian of Deep-Anomaly alone: no place is sent on, so that nothing but
    count, mean and scatter of the feature vectors is learned from the training images. Those add
    up: the moments of a set of images are the sum of the moments of its parts, and images can be
    added or forgotten without looking at the others again (``models.contracts.Additive``).

    Scores are distances in units of the largest that counts as normal, so ``threshold`` and
    ``pixel_threshold`` are 1. Dimensionless, >= 0.

    Args:
        encoder: Trained trunk; it is frozen.
        config: Hyper-parameters.

    Attributes:
        gaussian: Of the feature vectors.
        limit_: Distance that the wanted share of calibration images reaches.

    References:
        Sabokrou, Fayyaz, Fathy, Moayed and Klette, 2018, "Deep-anomaly: Fully convolutional neural
        network for fast anomaly detection in crowded scenes", eq. 6. One Gaussian for each position
        is Defard et al., 2020, "PaDiM"; here positions share one, as few clips give each too few
        samples. https://arxiv.org/abs/1609.00866
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
        shrinkage: float = 0.1
        """Weight of the identity in the covariance, in (0, 1]."""

        def __post_init__(self) -> None:
            check_places(self)

        def build(self, encoder: Encoder) -> "PooledGaussian":
            """Return an unfitted detector on top of an encoder."""
            return PooledGaussian(encoder, self)

    limit_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__(encoder, config)
        self.gaussian = Gaussian(self.feature_dim)
        self.register_buffer("limit_", torch.tensor(torch.nan, dtype=torch.float64))

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "PooledGaussian":
        """Learn what is normal, forgetting any earlier fit.

        Args:
            batches: Normal images; iterated once.
            calibration: Other normal images, which alone set the threshold; iterated once.
            fabric: Device; the CPU if None. Features are float32, statistics float64.
            progress: Shows the passes over the data.

        Raises:
            TrainingError: If there are no images, or their features are constant or not finite.
        """
        self.limit_.fill_(torch.nan)
        moments = self.moments(shown(batches, progress, "Moments"), fabric=fabric)
        return self.fit_moments(moments, calibration, fabric=fabric, progress=progress)

    @torch.no_grad()
    def moments(
        self, batches: Iterable[Float[Tensor, "_ C H W"]], *, fabric: Fabric | None = None
    ) -> Moments:
        """Moments of the feature vectors of images, on the CPU; needs no ``fit``, changes nothing.

        Raises:
            TrainingError: If a feature is not finite.
        """
        self._move(fabric)
        moments = Moments(len(self.gaussian.mean_), self.limit_.device)
        for images in batches:
            moments.update(self._features(images).flatten(end_dim=2))
        return Moments.from_tensors(moments.tensors())

    @torch.no_grad()
    def fit_moments(
        self,
        moments: Moments,
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "PooledGaussian":
        """Become the detector that ``fit`` gives on images with these moments.

        Args:
            moments: Of all normal images, however they came about.
            calibration: As in ``fit``: the threshold is always computed anew.
            fabric: Device; the CPU if None.
            progress: Shows the pass over the calibration images.

        Raises:
            TrainingError: If the moments are those of no samples or of equal ones, or there are no
                calibration images.
        """
        self._move(fabric)
        self.limit_.fill_(torch.nan)
        moments = Moments.from_tensors(moments.tensors(), self.limit_.device)
        self._describe_normal(moments)
        batches = shown(calibration, progress, "Calibration")
        agreed = (self._agreed(self._features(images), images.shape[-2:]) for images in batches)
        scores = [each.amax(dim=(1, 2)) for each in agreed]
        if not scores:
            raise TrainingError(
                "Thresholds need calibration images, got none. Raise calibration_share, or add "
                "normal images."
            )
        self.limit_.fill_(exceeded_by(torch.cat(scores), self.config.false_alarm_rate))
        return self

    def statistics(self) -> Mapping[str, Tensor]:
        """Mean, maximum-likelihood covariance and count, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        return self.gaussian.statistics()

    def _check_fitted(self) -> None:
        if self.limit_.isnan():
            raise NotFittedError(
                "PooledGaussian is not fitted. Call fit(batches, calibration) first."
            )

    def _move(self, fabric: Fabric | None) -> None:
        self.to((fabric or Fabric(accelerator="cpu", devices=1)).device)

    def _learned(self) -> Gaussian:
        return self.gaussian

    def _map(self, features: Float[Tensor, "B h w D"], size: torch.Size) -> Float[Tensor, "B H W"]:
        agreed = self._agreed(features, size)
        return agreed / self.limit_.to(agreed)

    def _agreed(
        self, features: Float[Tensor, "B h w D"], size: torch.Size
    ) -> Float[Tensor, "B H W"]:
        """At each pixel, the distance that ``num_votes`` of the fields that cover it reach."""
        distances = self.gaussian(features)
        field, votes = self.receptive_field, self.config.num_votes
        return roll_back(distances, field, *size, num_votes=votes).clamp(min=0)
