"""Latent-space autoregression: an autoencoder whose codes have a density, learnt with it.

Shapes: B = batch, C = channels, H W = image, T = elements of a code, K = bins of an element,
I O = input and output channels of an element, S = samples.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.contracts import Encoder, Progress, Scores, silent
from models.errors import InvalidInputError, TrainingError
from models.fitting import (
    begin,
    calibration_scores,
    check_fitted,
    check_size,
    learned,
    no_calibration,
    require_pixels,
    value_of,
)
from models.functional.shuffled import Shuffled
from models.functional.smoothing import neighbourhood_mean
from models.functional.thresholds import threshold_at_rate
from models.training import Trainer, initialise, lay_out, one_cycle

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises to its maximum."""
SLOPE = 0.01
"""Of the leaky rectifiers, below 0."""


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
        learned(self, threshold_=(), pixel_threshold_=(), saturated_=())
        learned(self, nats_range_=(2,), error_range_=(2,))

    @property
    def threshold(self) -> float:
        """Image score from which an image is called anomalous."""
        return value_of(self.threshold_, self)

    @property
    def pixel_threshold(self) -> float:
        """Mean squared error from which a pixel is called anomalous."""
        check_fitted(self.threshold_, self)
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
        config = self.config
        fabric = begin(self, self.threshold_, fabric)
        images = Shuffled(batches, seed=config.seed)
        check_size(images[:1], self.size)
        if len(images) < 2:
            raise TrainingError("Lsa needs at least 2 images, got 1. Add some to train/good.")
        initialise(self.networks, config.seed)
        lay_out(self.networks, torch.channels_last)
        total = config.epochs * images.num_batches(config.batch_size, smallest=2)
        optimizer = torch.optim.Adam(
            self.networks.parameters(), lr=config.learning_rate, betas=(0.9, 0.99)
        )
        schedule = one_cycle(optimizer, config.learning_rate, total, WARM_UP)
        trainer = Trainer(self.networks.train(), optimizer, fabric, schedule)
        steps = images.epochs(config.batch_size, config.epochs, smallest=2)  # of batch norm
        for _, batch in trainer.steps(steps, total, progress, "Latent-space autoregression"):
            nats, errors, _ = trainer.network(self.encoder(fabric.to_device(batch)))
            trainer.step((errors.sum(dim=(1, 2, 3)) + config.weight * nats).mean())
        self.history_ = trainer.history()
        lay_out(self.networks.eval(), torch.contiguous_format)
        self._calibrate(calibration, progress)
        return self

    def forward(self, images: Float[Tensor, "B C H W"]) -> Scores:
        """Score a batch of images.

        Raises:
            NotFittedError: If called before ``fit``.
            InvalidInputError: If the images are not of ``image_size``.
        """
        check_fitted(self.threshold_, self)
        return self._scores(images)

    def log_likelihood(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B"]:
        """Natural logarithm of the probability of the bins of each image's code, in nats.

        Raises:
            NotFittedError: If called before ``fit``.
            InvalidInputError: If the images are not of ``image_size``.
        """
        check_fitted(self.threshold_, self)
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
        check_fitted(self.threshold_, self)
        codes = self.networks.estimator.sample(num, Generator().manual_seed(seed))
        drawn: Tensor = self.networks.autoencoder.decoder(codes)
        return drawn.clamp(0, 1)

    def statistics(self) -> Mapping[str, Tensor]:
        """Range of both parts of the score on the calibration images, and ``saturated``.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.threshold_, self)
        return {
            "nats_range": self.nats_range_,
            "error_range": self.error_range_,
            "saturated": self.saturated_,
        }

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

    def _calibrate(self, batches: Iterable[Tensor], progress: Progress) -> None:
        calibration = [images for images in batches if len(images)]
        if not calibration:
            raise no_calibration()
        parts = [self._parts(images) for images in calibration]
        nats, misfit, _, codes = (torch.cat(values) for values in zip(*parts, strict=True))
        for values, kept in ((nats, self.nats_range_), (misfit, self.error_range_)):
            kept.copy_(torch.stack([values.min(), values.max()]))
        bins = self.networks.estimator.bins(codes)
        self.saturated_.copy_(((bins == 0) | (bins == self.config.bins - 1)).double().mean())
        device, rate = self.threshold_.device, self.config.false_alarm_rate
        scores, highest = calibration_scores(self._scores, calibration, progress, device)
        self.pixel_threshold_.copy_(threshold_at_rate(highest, rate))
        self.threshold_.copy_(threshold_at_rate(scores, rate))


class Down(nn.Module):
    """Residual block that halves the size of a feature map.

    Args:
        inputs: Channels before.
        outputs: Channels after.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, maps: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O h w"]:
        """Return a map of half the height and width."""
        return functional.leaky_relu(self.block(maps) + self.skip(maps), SLOPE)


class Up(nn.Module):
    """Residual block that doubles the size of a feature map.

    Args:
        inputs: Channels before.
        outputs: Channels after.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.Upsample(None, 2)
        )

    def forward(self, maps: Float[Tensor, "B I h w"]) -> Float[Tensor, "B O H W"]:
        """Return a map of twice the height and width."""
        return functional.leaky_relu(self.block(maps) + self.skip(maps), SLOPE)


class Autoencoder(nn.Module):
    """Image to code in (0, 1), and code to image.

    Args:
        channels: Of the images.
        height: Of the images, a multiple of 4.
        width: Of the images, a multiple of 4.
        base: Channels after the first halving; twice as many after the second.
        code_dim: Elements T of a code, and units of the layer before it.
    """

    def __init__(self, channels: int, height: int, width: int, *, base: int, code_dim: int) -> None:
        super().__init__()
        small = 2 * base, height // 4, width // 4
        flat = small[0] * small[1] * small[2]
        self.encoder = nn.Sequential(
            Down(channels, base),
            Down(base, 2 * base),
            nn.Flatten(),
            nn.Linear(flat, code_dim, bias=False),
            nn.BatchNorm1d(code_dim),
            nn.LeakyReLU(SLOPE),
            nn.Linear(code_dim, code_dim),
            nn.Sigmoid(),
        )
        self.decoder = nn.Sequential(
            nn.Linear(code_dim, code_dim, bias=False),
            nn.BatchNorm1d(code_dim),
            nn.LeakyReLU(SLOPE),
            nn.Linear(code_dim, flat, bias=False),
            nn.BatchNorm1d(flat),
            nn.LeakyReLU(SLOPE),
            nn.Unflatten(1, small),
            Up(2 * base, base),
            Up(base, max(base // 2, 1)),
            nn.Conv2d(max(base // 2, 1), channels, 1, bias=False),
        )

    def forward(
        self, images: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B C H W"]]:
        """Code and reconstruction."""
        code = self.encoder(images)
        return code, self.decoder(code)


class MaskedLinear(nn.Module):
    """Fully connected layer between codes with several channels; each element sees earlier ones.

    Args:
        code_dim: Elements T.
        inputs: Channels I of an element.
        outputs: Channels O of an element.
        see_itself: Whether an element sees itself; never in the first layer.
    """

    mask: Tensor

    def __init__(self, code_dim: int, inputs: int, outputs: int, *, see_itself: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(code_dim, outputs, code_dim, inputs))
        self.bias = nn.Parameter(torch.empty(code_dim, outputs))
        mask = torch.ones(code_dim, code_dim).tril(0 if see_itself else -1)
        self.register_buffer("mask", mask[:, None, :, None], persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights so that activations keep their spread, however few inputs are seen."""
        num_seen = self.mask.sum(dim=2, keepdim=True).clamp(min=1) * self.weight.shape[3]
        with torch.no_grad():
            self.weight.normal_().mul_((2 / num_seen).sqrt())
            self.bias.zero_()

    def forward(self, codes: Float[Tensor, "B T I"]) -> Float[Tensor, "B T O"]:
        """Combine what each element sees."""
        weight = (self.weight * self.mask).flatten(2).flatten(0, 1)
        combined = functional.linear(codes.flatten(1), weight, self.bias.flatten())
        return combined.reshape(-1, *self.bias.shape)


class Estimator(nn.Module):
    """p(code) as a product over its elements, each a histogram given the elements before it.

    Args:
        code_dim: Elements T.
        width: Channels of an element in each of the four hidden layers.
        num_bins: Bins K of a histogram.
    """

    def __init__(self, code_dim: int, width: int, num_bins: int) -> None:
        super().__init__()
        self.num_bins = num_bins
        widths = (1, width, width, width, width)
        self.layers = nn.ModuleList(
            MaskedLinear(code_dim, inputs, outputs, see_itself=place > 0)
            for place, (inputs, outputs) in enumerate(pairwise(widths))
        )
        self.last = MaskedLinear(code_dim, width, num_bins, see_itself=True)

    def forward(self, codes: Float[Tensor, "B T"]) -> Float[Tensor, "B K T"]:
        """Logits of each element's bin, given the elements before it."""
        hidden = (2 * codes - 1)[..., None]
        for layer in self.layers:
            hidden = functional.leaky_relu(layer(hidden), SLOPE)
        logits: Tensor = self.last(hidden).transpose(1, 2)
        return logits

    def bins(self, codes: Float[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """Bin of each element; no gradient goes through it."""
        return (codes.detach() * self.num_bins).long().clamp(0, self.num_bins - 1)

    @torch.no_grad()
    def sample(self, num: int, draw: Generator) -> Float[Tensor, "S T"]:
        """Draw codes element by element; each lies in the middle of its bin."""
        device, (code_dim, _) = self.last.bias.device, self.last.bias.shape
        codes = torch.zeros(num, code_dim, device=device)
        for element in range(code_dim):
            shares = self(codes)[:, :, element].double().cpu().softmax(dim=1)
            drawn = torch.multinomial(shares, 1, generator=draw)[:, 0]
            codes[:, element] = ((drawn + 0.5) / self.num_bins).float().to(device)
        return codes


class Networks(nn.Module):
    """All that is trained: surprise at codes, and squared error of reconstructions."""

    def __init__(self, autoencoder: Autoencoder, estimator: Estimator) -> None:
        super().__init__()
        self.autoencoder, self.estimator = autoencoder, estimator

    def forward(
        self, images: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B"], Float[Tensor, "B C H W"], Float[Tensor, "B T"]]:
        """Nats of each code, squared error of each value, and the codes."""
        codes, reconstructed = self.autoencoder(images)
        codes = codes.float()
        logits = self.estimator(codes).float()
        nats = functional.cross_entropy(logits, self.estimator.bins(codes), reduction="none")
        return nats.sum(dim=1), (reconstructed.float() - images) ** 2, codes


def _variation(images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B"]:
    """Squared deviation of each image from its own mean, at least that of rounding to 8 bits."""
    deviation = images.double() - images.double().mean(dim=(2, 3), keepdim=True)
    return (deviation**2).sum(dim=(1, 2, 3)).clamp(min=images[0].numel() / 255**2)


def _normalised(values: Float[Tensor, "B"], ends: Float[Tensor, "2"]) -> Float[Tensor, "B"]:
    """Values of which the first end becomes 0 and the second 1."""
    return (values - ends[0]) / (ends[1] - ends[0]).clamp(min=1e-12)
