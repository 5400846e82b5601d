"""Latent-space autoregression: an autoencoder whose codes have a density, learnt with it.

Shapes: B = batch, C = channels, H W = image, T = elements of a code, K = bins, S = samples.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn

from models.contracts import Encoder, Progress, Scores, silent
from models.density._calibration import calibrate, check_size, held_out
from models.density._code_networks import Autoencoder, Estimator, Networks
from models.density._training import require_pixels, start_again, train
from models.errors import InvalidInputError, NotFittedError
from models.functional.shuffled import Shuffled
from models.functional.smoothing import neighbourhood_mean


class Lsa(nn.Module):
    """Reconstruct normal images from codes that surprise little; both together tell anomalies.

    An image is anomalous if its code is unlikely, or if it is not reconstructed. ``image_score`` is
    the sum of both, each brought to 0..1 on the calibration images; below 0 and above 2 occur.
    ``anomaly_map`` is the squared error as a mean over a neighbourhood.

    The squared error itself, which is the paper's, is small for every image with little in it: a
    model of the digit 8 reconstructs most images of a 1 with less error than those of an 8.
    ``relative_error`` counts what share of an image is missed instead.

    ``log_likelihood`` is that of the code's bins: the model has no density of images.

    Args:
        encoder: ``Pixels``.
        config: Hyper-parameters.

    Attributes:
        nats_range_, error_range_: Smallest and largest of each part on the calibration images; of
            errors as they are scored.
        threshold_, pixel_threshold_: Of the scores, set by calibration images.
        saturated_: Share of code elements of the calibration images in the first or last bin. Close
            to 1, codes are binary words: the density was made easy at the image's expense.
        history_: Mean training loss of each epoch, empty before ``fit``.

    References:
        Abati, Porrello, Calderara and Cucchiara, 2019, "Latent Space Autoregression for Novelty
        Detection", section 3. https://arxiv.org/abs/1807.01653
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of latent-space autoregression. Layers and bins are the paper's."""

        image_size: tuple[int, int] = (28, 28)
        """Height and width of the images in pixels, multiples of 4; the recipe's ``image_size``."""
        width: int = 32
        """Channels after the first halving, >= 1; twice as many after the second."""
        code_dim: int = 64
        """Elements T of a code, >= 1."""
        bins: int = 100
        """Bins K of each element, >= 2."""
        estimator_width: int = 32
        """Channels of each element in the estimator, >= 1."""
        weight: float = 1.0
        """Of the code's nats against the squared error of an image, lambda, >= 0. Too much of it
        saturates codes and spoils reconstructions."""
        relative_error: bool = False
        """Whether an image's squared error is scored as a share of its squared deviation from its
        own mean, the variance that is left unexplained, and not as it is."""
        epochs: int = 20
        """Passes over the images, >= 1."""
        batch_size: int = 64
        """Images of a step, >= 2."""
        learning_rate: float = 1e-3
        """The largest in the cycle, > 0."""
        neighbourhood: int = 3
        """Side of the square over which the anomaly map is averaged, in pixels, odd; 1 for none."""
        false_alarm_rate: float = 0.05
        """Share of calibration images that may be called anomalous, in (0, 1)."""
        seed: int = 0
        """Of the first weights and the order of images."""

        def __post_init__(self) -> None:
            counts = self.width, self.code_dim, self.estimator_width, self.epochs
            if min(counts) < 1 or min(self.bins, self.batch_size) < 2:
                raise InvalidInputError(
                    f"Counts must be >= 1, bins and batch_size >= 2, got {self}."
                )
            if any(side < 4 or side % 4 for side in self.image_size):
                raise InvalidInputError(
                    f"The sides of image_size must be multiples of 4, got {self.image_size}."
                )
            if self.neighbourhood < 1 or self.neighbourhood % 2 == 0:
                raise InvalidInputError(f"neighbourhood must be odd, got {self.neighbourhood}.")
            if not (self.learning_rate > 0 <= self.weight and 0 < self.false_alarm_rate < 1):
                raise InvalidInputError(
                    "learning_rate must be > 0, weight >= 0 and false_alarm_rate in (0, 1), got "
                    f"{self.learning_rate}, {self.weight} and {self.false_alarm_rate}."
                )

        def build(self, encoder: Encoder) -> "Lsa":
            """Return an unfitted model.

            Raises:
                InvalidInputError: If the encoder is not ``Pixels``.
            """
            return Lsa(encoder, self)

    encoder: Encoder
    nats_range_: Tensor
    error_range_: Tensor
    threshold_: Tensor
    pixel_threshold_: Tensor
    saturated_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        require_pixels(encoder, "Lsa")
        self.encoder, self.config = encoder, config
        self.history_: list[float] = []
        self.size = (encoder.embedding_dim, *config.image_size)
        self.networks = Networks(
            Autoencoder(*self.size, base=config.width, code_dim=config.code_dim),
            Estimator(config.code_dim, config.estimator_width, config.bins),
        ).eval()
        for name in ("threshold_", "pixel_threshold_", "saturated_"):
            self.register_buffer(name, torch.tensor(torch.nan, dtype=torch.float64))
        for name in ("nats_range_", "error_range_"):
            self.register_buffer(name, torch.full((2,), torch.nan, dtype=torch.float64))

    @property
    def threshold(self) -> float:
        """Image score from which an image is called anomalous."""
        self._check_fitted()
        return float(self.threshold_)

    @property
    def pixel_threshold(self) -> float:
        """Mean squared error from which a pixel is called anomalous."""
        self._check_fitted()
        return float(self.pixel_threshold_)

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "Lsa":
        """Train autoencoder and estimator together on normal images, forgetting any earlier fit.

        Args:
            batches: Normal images, kept in memory.
            calibration: Other normal images, which alone set the ranges and the thresholds.
            fabric: Device and precision; the CPU in float32 if None.
            progress: Shows the batches of all epochs.

        Raises:
            InvalidInputError: If the images are not of ``image_size``.
            TrainingError: If there are fewer than two images, or the loss diverges.
        """
        fabric = fabric or Fabric(accelerator="cpu", devices=1)
        config = self.config
        self.threshold_.fill_(torch.nan)  # a fit that fails leaves no half-fitted model
        images = Shuffled(batches, seed=config.seed)
        check_size(images.images, self.size)
        self.to(fabric.device)
        start_again(self.networks, config.seed)

        def loss_of(networks: nn.Module, batch: Tensor) -> Tensor:
            nats, errors, _ = networks(self.encoder(batch))
            loss: Tensor = (errors.sum(dim=(1, 2, 3)) + config.weight * nats).mean()
            return loss

        self.history_ = train(
            self.networks,
            loss_of,
            images,
            settings=(config.epochs, config.batch_size, config.learning_rate),
            fabric=fabric,
            progress=progress,
            description="Latent-space autoregression",
            smallest=2,
        )
        self.eval()
        self._calibrate(calibration)
        return self

    def forward(self, images: Float[Tensor, "B C H W"]) -> Scores:
        """Score a batch of images.

        Raises:
            NotFittedError: If called before ``fit``.
            InvalidInputError: If the images are not of ``image_size``.
        """
        self._check_fitted()
        return self._scores(images)

    def log_likelihood(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B"]:
        """Natural logarithm of the probability of the bins of each image's code, in nats.

        Raises:
            NotFittedError: If called before ``fit``.
            InvalidInputError: If the images are not of ``image_size``.
        """
        self._check_fitted()
        return -self._parts(images)[0].float()

    @torch.no_grad()
    def sample(self, num: int, *, seed: int = 0) -> Float[Tensor, "S C H W"]:
        """Draw codes element by element, and decode them.

        Args:
            num: How many.
            seed: Of all of them; the same gives the same images.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        codes = self.networks.estimator.sample(num, Generator().manual_seed(seed))
        drawn: Tensor = self.networks.autoencoder.decoder(codes)
        return drawn.clamp(0, 1)

    def statistics(self) -> Mapping[str, Tensor]:
        """Range of both parts of the score on the calibration images, and ``saturated``.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        return {
            "nats_range": self.nats_range_,
            "error_range": self.error_range_,
            "saturated": self.saturated_,
        }

    def _check_fitted(self) -> None:
        if self.threshold_.isnan():
            raise NotFittedError("Lsa is not fitted. Call fit(batches, calibration) first.")

    @torch.no_grad()
    def _parts(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Nats, error as it is scored, squared error of each value, and codes."""
        check_size(images, self.size)
        images = self.encoder(images.to(self.threshold_.device))
        nats, errors, codes = self.networks(images)
        misfit = errors.double().sum(dim=(1, 2, 3))
        if self.config.relative_error:
            misfit = misfit / _variation(images)
        return nats.double(), misfit, errors, codes

    def _scores(self, images: Tensor) -> Scores:
        nats, misfit, errors, _ = self._parts(images)
        score = _normalised(nats, self.nats_range_) + _normalised(misfit, self.error_range_)
        return Scores(
            score.float(), neighbourhood_mean(errors.sum(dim=1), self.config.neighbourhood)
        )

    def _calibrate(self, batches: Iterable[Tensor]) -> None:
        calibration = held_out(batches)
        parts = [self._parts(images) for images in calibration]
        nats, misfit, _, codes = (torch.cat(values) for values in zip(*parts, strict=True))
        for values, kept in ((nats, self.nats_range_), (misfit, self.error_range_)):
            kept.copy_(torch.stack([values.min(), values.max()]))
        bins = self.networks.estimator.bins(codes)
        self.saturated_.copy_(((bins == 0) | (bins == self.config.bins - 1)).double().mean())
        found = calibrate(self._scores, calibration, self.config.false_alarm_rate)
        self.pixel_threshold_.copy_(found.pixel_threshold)
        self.threshold_.copy_(found.threshold)


def _variation(images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B"]:
    """Squared deviation of each image from its own mean, at least that of rounding to 8 bits."""
    deviation = images.double() - images.double().mean(dim=(2, 3), keepdim=True)
    return (deviation**2).sum(dim=(1, 2, 3)).clamp(min=images[0].numel() / 255**2)


def _normalised(values: Float[Tensor, "B"], ends: Float[Tensor, "2"]) -> Float[Tensor, "B"]:
    """Values of which the first end becomes 0 and the second 1."""
    return (values - ends[0]) / (ends[1] - ends[0]).clamp(min=1e-12)
