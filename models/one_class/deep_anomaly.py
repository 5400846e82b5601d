"""Deep-Anomaly: a cascade of two Gaussians on the feature vectors of a frozen trunk.

Shapes: B = batch, C = channels, H W = image, D = features, h w = feature map, K = kernels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional

from models.contracts import Encoder, Progress, shown, silent
from models.errors import InvalidInputError, NotFittedError
from models.functional.gaussian import Moments
from models.functional.perspective import RowSpeeds, row_scales
from models.functional.receptive_field import roll_back
from models.functional.reservoir import Reservoir
from models.functional.thresholds import above, agreeing, exceeded_by
from models.one_class._calibration import settling
from models.one_class._gaussian import Gaussian
from models.one_class._places import PlaceDetector, check_places
from models.one_class._sparse_layer import SparseLayerConfig, train_sparse_layer


class DeepAnomaly(PlaceDetector):
    """Call a place normal, anomalous or uncertain by one Gaussian; settle the rest by a second.

    Each place of the trunk's feature map is judged by the Mahalanobis distance d1 of its vector to
    the normal ones: ``d1 <= beta`` is normal, ``d1 >= alpha`` anomalous. What lies between goes
    through a third layer, trained as a sparse autoencoder, to a second Gaussian of the normal
    vectors that were uncertain too, and is anomalous if its distance ``d2 >= phi``. A pixel is
    anomalous if at least ``num_votes`` rejected receptive fields cover it, an image if one of its
    pixels is.

    Scores continue that decision: they are at least 1 exactly where the cascade rejects, so
    ``threshold`` and ``pixel_threshold`` are 1. Dimensionless, >= 0.

    Args:
        encoder: Trained trunk; it is frozen.
        config: Hyper-parameters.

    Attributes:
        alpha_, beta_, phi_: The cascade's thresholds.
        perspective_: Row of the feature map in which speeds keep their size, and by how much more
            they are divided in the next one; 0 without ``perspective``. Shape (2,).
        first, second: The Gaussians, on features and on the activations of the third layer, which
            is kernels_ and biases_, of shapes (K, D) and (K,).

    References:
        Sabokrou, Fayyaz, Fathy, Moayed and Klette, 2018, "Deep-anomaly: Fully convolutional neural
        network for fast anomaly detection in crowded scenes". https://arxiv.org/abs/1609.00866
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of Deep-Anomaly."""

        false_alarm_rate: float = 0.05
        """Share of calibration images that may be called anomalous, in (0, 1). Sets alpha and phi:
        the first Gaussian alone may use up half of it."""
        settled: float = 0.9
        """Share of normal places that the first Gaussian calls normal, in (0, 1). Sets beta."""
        num_votes: int = 4
        """Rejected receptive fields that must cover an anomalous pixel, >= 1."""
        neighbourhood: int = 3
        """Side of the square of places over which features are averaged, odd. More is steadier and
        coarser; 1 is the paper's."""
        movement: float = 3.0
        """Spread of each statistic of ``models.functional.movement`` against the trunk's features,
        >= 0. An extension: 0 leaves all of them out, as the paper does. Stills have none."""
        change: float = 3.0
        """Spread of those of them that tell how much gray levels change, >= 0. They see what flow
        is too coarse for, and mistake strong contrast for speed; 0 leaves them out."""
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
        shrinkage: float = 0.1
        """Weight of the identity in both covariances, in (0, 1]. More makes the distances depend on
        the main directions of the features only."""
        layer: SparseLayerConfig = field(default_factory=SparseLayerConfig)
        """The third layer."""
        seed: int = 0
        """Of the sampled vectors and the third layer's first weights."""

        def __post_init__(self) -> None:
            check_places(self)
            if not 0 < self.settled < 1:
                raise InvalidInputError(f"settled must be in (0, 1), got {self.settled}.")
            if self.perspective and not (self.flow == "blocks" and self.movement):
                raise InvalidInputError(
                    "perspective is one of speeds: it needs flow='blocks' and movement > 0, got "
                    f"{self.flow!r} and {self.movement}."
                )

        def build(self, encoder: Encoder) -> "DeepAnomaly":
            """Return an unfitted detector on top of an encoder."""
            return DeepAnomaly(encoder, self)

    kernels_: Tensor
    biases_: Tensor
    perspective_: Tensor
    alpha_: Tensor
    beta_: Tensor
    phi_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__(encoder, config)
        kernels, dim = config.layer.kernels, self.feature_dim
        self.first = Gaussian(dim)
        self.second = Gaussian(kernels)
        shapes = {"kernels_": (kernels, dim), "biases_": (kernels,), "perspective_": (2,)}
        for name in ("alpha_", "beta_", "phi_", *shapes):
            empty = torch.full(shapes.get(name, ()), torch.nan, dtype=torch.float64)
            self.register_buffer(name, empty)

    @torch.no_grad()
    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "DeepAnomaly":
        """Learn what is normal, forgetting any earlier fit.

        Args:
            batches: Normal images; iterated twice, three times with ``perspective``.
            calibration: Other normal images, which alone set the thresholds; iterated twice.
            fabric: Device; the CPU if None. Features are float32, statistics float64.
            progress: Shows the passes over the data.

        Raises:
            TrainingError: If there are no images, or their features are constant or not finite.
        """
        self.to((fabric or Fabric(accelerator="cpu", devices=1)).device)
        self.phi_.fill_(torch.nan)  # a fit that fails leaves no half-fitted detector
        self.perspective_.zero_()
        if self.config.perspective:
            self._fit_perspective(shown(batches, progress, "Perspective"))
        sample = self._fit_first(shown(batches, progress, "First Gaussian"))
        self._fit_beta(shown(calibration, progress, "Calibration of beta"))
        self._fit_layer(sample)
        self._fit_second(shown(batches, progress, "Second Gaussian"), sample)
        self._fit_alpha_and_phi(shown(calibration, progress, "Calibration of alpha and phi"))
        return self

    @torch.no_grad()
    def recalibrate(
        self,
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "DeepAnomaly":
        """Set beta, alpha and phi from normal images of another camera; all else stays.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        self.to((fabric or Fabric(accelerator="cpu", devices=1)).device)
        self._fit_beta(shown(calibration, progress, "Calibration of beta"))
        self._fit_alpha_and_phi(shown(calibration, progress, "Calibration of alpha and phi"))
        return self

    def statistics(self) -> Mapping[str, Tensor]:
        """Mean, maximum-likelihood covariance and count of both Gaussians; perspective. float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        found = {
            f"{name}_{part}": value
            for name, stage in (("first", self.first), ("second", self.second))
            for part, value in stage.statistics().items()
        }
        return found | ({"perspective": self.perspective_} if self.config.perspective else {})

    def _check_fitted(self) -> None:
        if self.phi_.isnan():
            raise NotFittedError("DeepAnomaly is not fitted. Call fit(batches, calibration) first.")

    def _learned(self) -> Gaussian:
        return self.first

    def _features(self, images: Tensor) -> Float[Tensor, "B h w D"]:
        features = super()._features(images)
        if self.config.perspective:
            scales = row_scales(self.perspective_, features.shape[1]).to(features)
            features[..., self.encoder.embedding_dim :] /= scales[:, None, None]
        return features

    def _map(self, features: Float[Tensor, "B h w D"], size: torch.Size) -> Float[Tensor, "B H W"]:
        return self._to_pixels(self._score(*self._judged(features)), size).clamp_(min=0)

    def _hidden(self, vectors: Float[Tensor, "N D"]) -> Float[Tensor, "N K"]:
        weights, biases = self.kernels_.to(vectors), self.biases_.to(vectors)
        return functional.linear(vectors, weights, biases).sigmoid()

    def _distances(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self._judged(self._features(images))

    def _judged(self, features: Float[Tensor, "B h w D"]) -> tuple[Tensor, Tensor]:
        """d1 of each place, and d2 where d1 is above beta; -inf elsewhere. Shapes (B, h, w)."""
        first = self.first(features)
        second = torch.full_like(first, -torch.inf)
        unsettled = first > self.beta_
        second[unsettled] = self.second(self._hidden(features[unsettled]))
        return first, second

    def _score(self, first: Tensor, second: Tensor) -> Float[Tensor, "B h w"]:
        """d1 / alpha, moved to be at least 1 exactly where the cascade rejects: d1 ranks."""
        alpha, beta, phi = (t.to(first) for t in (self.alpha_, self.beta_, self.phi_))
        rejected = (first >= alpha) | ((first > beta) & (second >= phi))
        return agreeing(first / alpha, rejected)

    def _to_pixels(self, score: Tensor, size: torch.Size) -> Float[Tensor, "B H W"]:
        """At each pixel, what ``num_votes`` of the fields that cover it reach."""
        return roll_back(score, self.receptive_field, *size, num_votes=self.config.num_votes)

    def _agreed(self, score: Tensor, size: torch.Size) -> Float[Tensor, "B"]:
        return self._to_pixels(score, size).amax(dim=(1, 2))

    def _fit_perspective(self, batches: Iterable[Tensor]) -> None:
        seen = RowSpeeds()
        for images in batches:
            seen.update(self._features(images)[..., self.encoder.embedding_dim])
        self.perspective_.copy_(seen.line())

    def _fit_first(self, batches: Iterable[Tensor]) -> Tensor:
        moments = Moments(len(self.first.mean_), self.beta_.device)
        sample = Reservoir(self.config.layer.num_samples, self.config.seed)
        for images in batches:
            vectors = self._features(images).flatten(end_dim=2)
            moments.update(vectors)
            sample.update(vectors)
        self._describe_normal(moments)
        return sample.samples()

    def _fit_layer(self, sample: Tensor) -> None:
        scale = self.first.scale_.float().cpu()
        kernels, biases = train_sparse_layer(sample, scale, self.config.layer, self.config.seed)
        self.kernels_.copy_(kernels)
        self.biases_.copy_(biases)

    def _fit_beta(self, calibration: Iterable[Tensor]) -> None:
        distances = (self.first(self._features(images)) for images in calibration)
        self.beta_.fill_(settling(distances, self.config.settled, self.config.seed))

    def _fit_second(self, batches: Iterable[Tensor], sample: Tensor) -> None:
        moments = Moments(self.config.layer.kernels, self.beta_.device)
        for images in batches:
            features = self._features(images)
            moments.update(self._hidden(features[self.first(features) > self.beta_]))
        if moments.count <= 1:  # the second Gaussian then describes all normal vectors
            moments.update(self._hidden(sample.to(self.beta_.device)))
        self.second.set(moments, self.config.shrinkage)

    def _fit_alpha_and_phi(self, calibration: Iterable[Tensor]) -> None:
        """Thresholds from whole images: alpha spends half of the false alarms, phi the rest."""
        seen = [(*self._distances(images), images.shape[-2:]) for images in calibration]
        agreed = [self._agreed(first, size) for first, _, size in seen]
        share = self.config.false_alarm_rate
        alpha = exceeded_by(torch.cat(agreed), share / 2)
        self.alpha_.fill_(alpha.clamp(min=float(above(self.beta_.to(alpha)))))
        undecided = [
            self._agreed(second.masked_fill(first >= self.alpha_, torch.inf), size)
            for first, second, size in seen
        ]
        phi = exceeded_by(torch.cat(undecided), share)
        if phi < 0:  # so few places are uncertain that they never agree
            phi = above(torch.stack([second.amax() for _, second, _ in seen]).amax().clamp(min=1))
        self.phi_.fill_(phi)
