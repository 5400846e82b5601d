"""Deep-Anomaly: a cascade of two Gaussians on two successive layers of a fully convolutional net.

Shapes: B = batch, C = channels, H W = image, D = features, h w = feature map, N = samples,
K = kernels of the sparse layer.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.capabilities import Observation, Reference
from models.contracts import Encoder, Progress, Scores, shown, silent
from models.errors import InvalidInputError
from models.fitting import begin, check_fitted, frozen, learned, no_calibration
from models.functional.gaussian import Moments
from models.functional.receptive_field import ReceptiveField, roll_back
from models.functional.reservoir import Reservoir
from models.functional.sparse import sparse_autoencoder_loss
from models.functional.thresholds import next_larger, threshold_at_rate
from models.gaussians import Gaussian
from models.places import (
    check_places,
    main_scale,
    observed,
    place_features,
    reference_of,
    widened,
)
from models.training import Trainer, cpu

BATCH_SIZE = 512
"""Feature vectors for one step of the sparse autoencoder."""
MAX_DISTANCES = 1_000_000
"""Distances from which the quantile beta is taken, drawn uniformly."""


@dataclass(frozen=True, kw_only=True)
class SparseLayerConfig:
    """Hyper-parameters of the sparse autoencoder."""

    kernels: int = 500
    """Number K of hidden units: the kernels of the 1x1 convolution; the paper's 500."""
    sparsity: float = 0.05
    """Wanted mean activation of a unit, in (0, 1)."""
    sparsity_weight: float = 1.0
    """Weight of the divergence from it, >= 0."""
    weight_decay: float = 1e-5
    """Of the weights, not of the biases, >= 0."""
    num_samples: int = 20_000
    """Feature vectors to train on, drawn uniformly from the normal ones."""
    epochs: int = 10
    """Passes over them, >= 1."""
    learning_rate: float = 3e-3
    """Of Adam, > 0."""

    def __post_init__(self) -> None:
        if min(self.kernels, self.num_samples, self.epochs) < 1:
            raise InvalidInputError(f"kernels, num_samples and epochs must be >= 1, got {self}.")
        if not 0 < self.sparsity < 1 or self.learning_rate <= 0:
            raise InvalidInputError(f"sparsity must be in (0, 1), learning_rate > 0, got {self}.")


class DeepAnomaly(nn.Module):
    """Call a place normal, anomalous or uncertain by one Gaussian; decide the rest by a second.

    The input is a clip's mean frames (section 3.1). Each place of the trunk's feature map, layer k
    of the network, is judged by the Mahalanobis distance d1 of its vector to the normal ones:
    ``d1 <= beta`` is normal, ``d1 >= alpha`` anomalous. What lies between goes through layer k + 1,
    a 1x1 convolution trained as a sparse autoencoder, to a second Gaussian of the normal vectors
    that were uncertain too, and is anomalous if its distance ``d2 >= phi``. A pixel is anomalous if
    at least ``num_votes`` rejected receptive fields cover it, an image if one of its pixels is.

    Scores rank as the cascade decides: normal places by d1 in [0, 0.5], uncertain ones by d2 in
    (0.5, 2), anomalous ones by d1 from 2 on. They are at least 1 exactly where the cascade rejects,
    so ``threshold`` and ``pixel_threshold`` are 1. Dimensionless.

    Args:
        encoder: Trained trunk; it is frozen. The paper's is AlexNet up to conv2.
        config: Hyper-parameters.

    Attributes:
        alpha_, beta_, phi_: The cascade's thresholds.
        first, second: The Gaussians, on features and on the activations of the sparse layer, which
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
        normal_share: float = 0.9
        """Share of normal places that the first Gaussian calls normal, in (0, 1). Sets beta."""
        num_votes: int = 4
        """Rejected receptive fields that must cover an anomalous pixel, >= 1; the paper's zeta of 3
        and one more."""
        neighbourhood: int = 1
        """Side of the square of places over which features are averaged, odd; 1 is the paper's.
        More is steadier and coarser."""
        shrinkage: float = 0.1
        """Weight of the identity in both covariances, in (0, 1]. More makes the distances depend on
        the main directions of the features only."""
        layer: SparseLayerConfig = field(default_factory=SparseLayerConfig)
        """The sparse layer."""
        seed: int = 0
        """Of the sampled vectors and the sparse layer's first weights."""

        def __post_init__(self) -> None:
            check_places(
                false_alarm_rate=self.false_alarm_rate,
                shrinkage=self.shrinkage,
                num_votes=self.num_votes,
                neighbourhood=self.neighbourhood,
            )
            if not 0 < self.normal_share < 1:
                raise InvalidInputError(f"normal_share must be in (0, 1), got {self.normal_share}.")

        def build(self, encoder: Encoder) -> "DeepAnomaly":
            """Return an unfitted detector on top of an encoder."""
            return DeepAnomaly(encoder, self)

    encoder: Encoder
    kernels_: Tensor
    biases_: Tensor
    alpha_: Tensor
    beta_: Tensor
    phi_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.encoder, self.config = frozen(encoder), config
        kernels, dim = config.layer.kernels, encoder.embedding_dim
        self.first, self.second = Gaussian(dim), Gaussian(kernels)
        learned(self, kernels_=(kernels, dim), biases_=(kernels,), alpha_=(), beta_=(), phi_=())

    @property
    def threshold(self) -> float:
        """Image score from which an image is called anomalous: 1."""
        check_fitted(self.phi_, self)
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
    ) -> "DeepAnomaly":
        """Learn what is normal, forgetting any earlier fit.

        Args:
            batches: Normal images; iterated twice.
            calibration: Other normal images, which alone set the thresholds; iterated twice.
            fabric: Device; the CPU if None. Features are float32, statistics float64.
            progress: Shows the passes over the data.

        Raises:
            TrainingError: If there are no images, or their features are constant or not finite.
        """
        begin(self, self.phi_, fabric)
        sample = self._fit_first(shown(batches, progress, "First Gaussian"))
        self._fit_beta(shown(calibration, progress, "Calibration of beta"))
        self._fit_layer(sample, progress)
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
        check_fitted(self.phi_, self)
        self.to((fabric or cpu()).device)
        self._fit_beta(shown(calibration, progress, "Calibration of beta"))
        self._fit_alpha_and_phi(shown(calibration, progress, "Calibration of alpha and phi"))
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
        check_fitted(self.phi_, self)
        return observed(images, self._features, self._map)

    def reference(self) -> Reference:
        """Mean, covariance and whitener of the normal vectors.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.phi_, self)
        return reference_of(self.first)

    def statistics(self) -> Mapping[str, Tensor]:
        """Mean, maximum-likelihood covariance and count of both Gaussians, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.phi_, self)
        return {
            f"{name}_{part}": value
            for name, stage in (("first", self.first), ("second", self.second))
            for part, value in stage.statistics().items()
        }

    def _features(self, images: Tensor) -> Float[Tensor, "B h w D"]:
        images = images.to(self.phi_.device)
        return place_features(self.encoder, images, side=self.config.neighbourhood)

    def _hidden(self, vectors: Float[Tensor, "N D"]) -> Float[Tensor, "N K"]:
        """Activations of the sparse layer."""
        weights, biases = self.kernels_.to(vectors), self.biases_.to(vectors)
        return functional.linear(vectors, weights, biases).sigmoid()

    def _distances(self, features: Float[Tensor, "B h w D"]) -> tuple[Tensor, Tensor]:
        """d1 of each place, and d2 where d1 is above beta; -inf elsewhere. Shapes (B, h, w)."""
        first = self.first(features)
        second = torch.full_like(first, -torch.inf)
        uncertain = first > self.beta_
        second[uncertain] = self.second(self._hidden(features[uncertain]))
        return first, second

    def _map(self, features: Float[Tensor, "B h w D"], size: torch.Size) -> Float[Tensor, "B H W"]:
        alpha, beta, phi = (each.to(features) for each in (self.alpha_, self.beta_, self.phi_))
        score = cascade_score(*self._distances(features), alpha=alpha, beta=beta, phi=phi)
        return self._to_pixels(score, size).clamp_(min=0)

    def _to_pixels(self, score: Tensor, size: torch.Size) -> Float[Tensor, "B H W"]:
        """At each pixel, what ``num_votes`` of the fields that cover it reach (section 3.4)."""
        return roll_back(score, self.receptive_field, *size, num_votes=self.config.num_votes)

    def _of_images(self, score: Tensor, size: torch.Size) -> Float[Tensor, "B"]:
        return self._to_pixels(score, size).amax(dim=(1, 2))

    def _fit_first(self, batches: Iterable[Tensor]) -> Float[Tensor, "N D"]:
        """Fit the first Gaussian; a sample of the vectors it is fitted to."""
        moments = Moments(len(self.first.mean_), self.beta_.device)
        sample = Reservoir(self.config.layer.num_samples, self.config.seed)
        for images in batches:
            vectors = self._features(images).flatten(end_dim=2)
            moments.update(vectors)
            sample.update(vectors)
        scale = main_scale(moments, len(moments.mean)).expand_as(moments.mean)
        self.first.set(moments, self.config.shrinkage, scale)
        return sample.samples()

    def _fit_beta(self, calibration: Iterable[Tensor]) -> None:
        kept = Reservoir(MAX_DISTANCES, self.config.seed)
        for images in calibration:
            kept.update(self.first(self._features(images)).reshape(-1, 1))
        if not kept.num_seen:
            raise no_calibration()
        self.beta_.fill_(threshold_at_rate(kept.samples()[:, 0], 1 - self.config.normal_share))

    def _fit_layer(self, sample: Float[Tensor, "N D"], progress: Progress) -> None:
        scale = self.first.scale_.float().cpu()
        kernels, biases = train_sparse_layer(
            sample, scale, self.config.layer, self.config.seed, progress
        )
        self.kernels_.copy_(kernels)
        self.biases_.copy_(biases)

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
        seen = [
            (*self._distances(self._features(images)), images.shape[-2:]) for images in calibration
        ]
        of_images = [self._of_images(first, size) for first, _, size in seen]
        rate = self.config.false_alarm_rate
        alpha = threshold_at_rate(torch.cat(of_images), rate / 2)
        self.alpha_.fill_(alpha.clamp(min=float(next_larger(self.beta_.to(alpha)))))
        uncertain = [
            self._of_images(second.masked_fill(first >= self.alpha_, torch.inf), size)
            for first, second, size in seen
        ]
        phi = threshold_at_rate(torch.cat(uncertain), rate)
        if phi < 0:  # so few places are uncertain that ``num_votes`` of them never meet
            highest = torch.stack([second.amax() for _, second, _ in seen]).amax()
            phi = next_larger(highest.clamp(min=1))
        self.phi_.fill_(phi)


def cascade_score(
    first: Float[Tensor, "*N"],
    second: Float[Tensor, "*N"],
    *,
    alpha: Float[Tensor, ""],
    beta: Float[Tensor, ""],
    phi: Float[Tensor, ""],
) -> Float[Tensor, "*N"]:
    """One score of each place that ranks it as the cascade does, >= 1 exactly if it is rejected.

    ``d1 / (2 beta)`` in [0, 0.5] where d1 <= beta; ``1 + d1 / alpha`` >= 2 where d1 >= alpha. In
    between it is a function of ``r = d2 / phi`` alone: ``(1 + r) / 2`` in [0.5, 1) if accepted,
    ``2 - 1 / r`` in [1, 2) if rejected.

    Args:
        first: Distances d1, >= 0.
        second: Distances d2; only those of uncertain places count.
        alpha: From which d1 is anomalous, > beta.
        beta: Up to which d1 is normal, > 0.
        phi: From which d2 is anomalous, > 0.

    Example:
        >>> one = torch.tensor(1.0)
        >>> first, second = torch.tensor([1.0, 2, 2, 4]), torch.tensor([9.0, 0.5, 2, 0])
        >>> cascade_score(first, second, alpha=4 * one, beta=one, phi=one)
        tensor([0.5000, 0.7500, 1.5000, 2.0000])
    """
    ratio = second.clamp(min=0) / phi
    below_one = 1 - torch.finfo(first.dtype).eps
    accepted = ((1 + ratio) / 2).clamp(max=below_one)
    rejected = (2 - 1 / ratio.clamp(min=1)).clamp(max=2 * below_one)
    score = torch.where(second >= phi, rejected, accepted)
    score = torch.where(first <= beta, first / (2 * beta), score)
    return torch.where(first >= alpha, 1 + first / alpha, score)


def train_sparse_layer(
    samples: Float[Tensor, "N D"],
    scale: Float[Tensor, "D"],
    config: SparseLayerConfig,
    seed: int,
    progress: Progress = silent,
) -> tuple[Float[Tensor, "K D"], Float[Tensor, "K"]]:
    """Train a sparse autoencoder on normal feature vectors and return its encoder half (eq. 4).

    Args:
        samples: Normal feature vectors.
        scale: Factors of the features while training, folded into what is returned.
        config: Hyper-parameters.
        seed: Of the first weights and the order of samples.
        progress: Shows the steps.

    Returns:
        Kernels and biases of a 1x1 convolution with sigmoid activation.

    Raises:
        TrainingError: If the loss diverges.
    """
    shift = samples.mean(dim=0)
    inputs = (samples - shift) * scale
    draw = Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        encode = nn.Linear(samples.shape[1], config.kernels)
        nn.init.constant_(encode.bias, math.log(config.sparsity / (1 - config.sparsity)))
        decode = nn.Linear(config.kernels, samples.shape[1])
        groups: list[dict[str, Any]] = [
            {"params": [encode.weight, decode.weight], "weight_decay": config.weight_decay},
            {"params": [encode.bias, decode.bias]},
        ]
        optimizer = torch.optim.Adam(groups, lr=config.learning_rate)
        trainer = Trainer(nn.Sequential(encode, nn.Sigmoid(), decode), optimizer)
        orders = (torch.randperm(len(inputs), generator=draw) for _ in range(config.epochs))
        batches = (torch.split(order, BATCH_SIZE) for order in orders)
        steps = ((epoch, ids) for epoch, each in enumerate(batches) for ids in each)
        total = config.epochs * math.ceil(len(inputs) / BATCH_SIZE)
        for ids in trainer.steps(steps, total, progress, "Sparse layer"):
            activations = encode(inputs[ids]).sigmoid()
            loss = sparse_autoencoder_loss(
                inputs[ids],
                decode(activations),
                activations,
                target=config.sparsity,
                weight=config.sparsity_weight,
            )
            trainer.step(loss)
    kernels = encode.weight.detach() * scale
    return kernels, encode.bias.detach() - kernels @ shift
