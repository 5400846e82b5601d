"""One shrunk Gaussian on the feature vectors of a frozen trunk, pooled over all positions.

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
from models.fitting import begin, check_fitted, frozen, image_threshold, learned
from models.functional.gaussian import Moments
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


class PooledGaussian(nn.Module):
    """Score each place by its Mahalanobis distance to all normal places of all normal images.

    It is the first Gaussian of Deep-Anomaly alone, with movement beside the features: nothing but
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
            check_places(
                false_alarm_rate=self.false_alarm_rate,
                shrinkage=self.shrinkage,
                num_votes=self.num_votes,
                neighbourhood=self.neighbourhood,
            )
            check_motion(self)

        def build(self, encoder: Encoder) -> "PooledGaussian":
            """Return an unfitted detector on top of an encoder."""
            return PooledGaussian(encoder, self)

    encoder: Encoder
    limit_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.encoder, self.config = frozen(encoder), config
        num_moved = NUM_OF_FLOW[config.flow] if config.movement else 0
        self.gaussian = Gaussian(encoder.embedding_dim + num_moved)
        learned(self, limit_=())

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
        begin(self, self.limit_, fabric)
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
        self.to((fabric or cpu()).device)
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
        begin(self, self.limit_, fabric)
        moments = Moments.from_tensors(moments.tensors(), self.limit_.device)
        fit_gaussian(self.gaussian, moments, self.encoder.embedding_dim, self.config)
        device, rate = self.limit_.device, self.config.false_alarm_rate
        self.limit_.fill_(image_threshold(self._distances, calibration, rate, progress, device))
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
        """Mean, maximum-likelihood covariance and count, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.limit_, self)
        return self.gaussian.statistics()

    def _features(self, images: Tensor) -> Float[Tensor, "B h w D"]:
        config = self.config
        return place_features(
            self.encoder,
            images.to(self.limit_.device),
            side=config.neighbourhood,
            flow=config.flow if config.movement else None,
        )

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
