"""PixelCNN: the probability of an image as a product over its pixels, each given those before it.

Shapes: B = batch, C = channels, H W = image, K = gray levels, S = samples.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.contracts import Encoder, Progress, Scores, silent
from models.density._calibration import calibrate, check_size, held_out
from models.density._pixel_network import PixelNetwork
from models.density._training import require_pixels, start_again, train
from models.errors import InvalidInputError, NotFittedError
from models.functional.dithering import dithered
from models.functional.shuffled import Shuffled
from models.functional.smoothing import neighbourhood_mean


class PixelCnn(nn.Module):
    """log p(image) = sum over i of log p(value i | values before it in raster order).

    Values are rows, then columns, then colours. Two levels make a model of binary images, in which
    a gray value is the probability of a 1 (dynamic binarisation, drawn anew in every epoch); 256
    make one of 8-bit images. Between them, a value is rounded up with the probability of its
    fraction.

    ``image_score`` is minus the log-likelihood, in nats. **It fails in a known way**: images that
    are simpler than the normal ones are often *more* likely, and so look normal. A model of clothes
    gives digits a higher likelihood than clothes. Use it among images of like complexity.

    ``anomaly_map`` is minus log p of each pixel given those before it, in nats, as a mean over a
    neighbourhood: edges surprise in every normal image, surprising areas do not occur in them.

    Args:
        encoder: ``Pixels``.
        config: Hyper-parameters.

    Attributes:
        size_: Channels, height and width of the training images.
        threshold_, pixel_threshold_: Of the scores, set by calibration images.
        calibration_: Mean, standard deviation and number of the calibration images' scores.
        history_: Mean training loss of each epoch, in nats per image; empty before ``fit``.

    References:
        van den Oord, Kalchbrenner and Kavukcuoglu, 2016, "Pixel Recurrent Neural Networks",
        section 3. https://arxiv.org/abs/1601.06759
        van den Oord et al., 2016, "WaveNet", section 2.1 (dilations, doubled from layer to layer).
        https://arxiv.org/abs/1609.03499
        Nalisnick et al., 2019, "Do Deep Generative Models Know What They Don't Know?" (the
        failure). https://arxiv.org/abs/1810.09136
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of PixelCNN."""

        levels: int = 2
        """Gray levels K that are told apart, from 2 (binary) to 256 (8 bits)."""
        width: int = 32
        """Channels along the row, >= 1."""
        above_width: int = 32
        """Channels over the rows above, >= 1."""
        depth: int = 3
        """Residual layers, >= 1. Each adds ``dilations`` rows above and pixels around to what is
        seen."""
        dilations: tuple[int, ...] = (1, 2, 4, 8)
        """Of the layers, in turn, each >= 1. Doubled from layer to layer, few of them see a whole
        small image: else strokes do not meet, and 0 and 6 are hardly drawn."""
        epochs: int = 20
        """Passes over the images, >= 1."""
        batch_size: int = 16
        """Images of a step, >= 1."""
        learning_rate: float = 3e-3
        """The largest in the cycle, > 0."""
        neighbourhood: int = 3
        """Side of the square over which the anomaly map is averaged, in pixels, odd; 1 for none."""
        false_alarm_rate: float = 0.05
        """Share of calibration images that may be called anomalous, in (0, 1)."""
        seed: int = 0
        """Of the first weights, the order of images, and the rounding of gray values."""

        def __post_init__(self) -> None:
            counts = self.width, self.above_width, self.depth, self.epochs, self.batch_size
            if min(counts) < 1:
                raise InvalidInputError(f"Counts and sizes must be >= 1, got {self}.")
            if min(self.dilations, default=0) < 1:
                raise InvalidInputError(f"dilations must be >= 1, got {self.dilations}.")
            if not 2 <= self.levels <= 256:
                raise InvalidInputError(f"levels must be from 2 to 256, got {self.levels}.")
            if self.neighbourhood < 1 or self.neighbourhood % 2 == 0:
                raise InvalidInputError(f"neighbourhood must be odd, got {self.neighbourhood}.")
            if not (self.learning_rate > 0 and 0 < self.false_alarm_rate < 1):
                raise InvalidInputError(
                    "learning_rate must be > 0 and false_alarm_rate in (0, 1), got "
                    f"{self.learning_rate} and {self.false_alarm_rate}."
                )

        def build(self, encoder: Encoder) -> "PixelCnn":
            """Return an unfitted model.

            Raises:
                InvalidInputError: If the encoder is not ``Pixels``.
            """
            return PixelCnn(encoder, self)

    encoder: Encoder
    size_: Tensor
    threshold_: Tensor
    pixel_threshold_: Tensor
    calibration_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        require_pixels(encoder, "PixelCnn")
        self.encoder, self.config = encoder, config
        self.history_: list[float] = []
        self.network = PixelNetwork(
            config.levels,
            width=config.width,
            above_width=config.above_width,
            depth=config.depth,
            num_colours=encoder.embedding_dim,
            dilations=config.dilations,
        )
        shapes = {"size_": (3,), "calibration_": (3,), "threshold_": (), "pixel_threshold_": ()}
        for name, shape in shapes.items():
            empty = torch.full(shape, torch.nan, dtype=torch.float64)
            self.register_buffer(name, empty)

    @property
    def threshold(self) -> float:
        """Minus log-likelihood in nats from which an image is called anomalous."""
        self._check_fitted()
        return float(self.threshold_)

    @property
    def pixel_threshold(self) -> float:
        """Mean surprise in nats from which a pixel is called anomalous."""
        self._check_fitted()
        return float(self.pixel_threshold_)

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "PixelCnn":
        """Maximise the likelihood of normal images, forgetting any earlier fit.

        Args:
            batches: Normal images, kept in memory.
            calibration: Other normal images, which alone set the thresholds.
            fabric: Device and precision; the CPU in float32 if None.
            progress: Shows the batches of all epochs.

        Raises:
            TrainingError: If there are no images, they differ in size, or the loss diverges.
        """
        fabric = fabric or Fabric(accelerator="cpu", devices=1)
        config = self.config
        self.calibration_.fill_(torch.nan)  # a fit that fails leaves no half-fitted model
        images = Shuffled(batches, seed=config.seed)
        self.to(fabric.device)
        start_again(self.network, config.seed)
        draw = Generator().manual_seed(config.seed)

        def loss_of(network: nn.Module, batch: Tensor) -> Tensor:
            noise = torch.rand(batch.shape, generator=draw).to(batch.device)
            levels = dithered(self.encoder(batch), config.levels, noise)
            return _nats(network, levels).sum(dim=(1, 2, 3)).mean()

        self.history_ = train(
            self.network,
            loss_of,
            images,
            settings=(config.epochs, config.batch_size, config.learning_rate),
            fabric=fabric,
            progress=progress,
            description="PixelCNN",
        )
        self.eval()
        self._calibrate(images.images.shape[1:], calibration)
        return self

    def forward(self, images: Float[Tensor, "B C H W"]) -> Scores:
        """Score a batch of images: minus log-likelihood, and the surprise at each pixel.

        Raises:
            NotFittedError: If called before ``fit``.
            InvalidInputError: If the images differ in size from the training images.
        """
        self._check_fitted()
        return self._scores(images)

    def log_likelihood(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B"]:
        """Natural logarithm of the probability of each image's levels, in nats.

        The rounding of values between two levels is drawn once from the seed, alike for all images;
        images that hold only levels, such as binary ones, are taken as they are.

        Raises:
            NotFittedError: If called before ``fit``.
            InvalidInputError: If the images differ in size from the training images.
        """
        self._check_fitted()
        return -self._scores(images).image_score

    def bits_per_dim(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B"]:
        """Minus log-likelihood in bits for each value of an image; at most log2(K) is of use."""
        return -self.log_likelihood(images) / (images[0].numel() * math.log(2))

    @torch.no_grad()
    def sample(self, num: int, *, seed: int = 0) -> Float[Tensor, "S C H W"]:
        """Draw new images, pixel by pixel, each from its distribution given those before it.

        Args:
            num: How many.
            seed: Of all of them; the same gives the same images.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        channels, height, width = (int(side) for side in self.size_)
        draw = Generator().manual_seed(seed)
        levels = self.network.sample(num, height, width * channels, draw)
        return _apart(levels, channels).float() / (self.config.levels - 1)

    def statistics(self) -> Mapping[str, Tensor]:
        """Mean, standard deviation and count of the calibration images' scores, in nats.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        names = ("nats_mean", "nats_std", "nats_count")
        return dict(zip(names, self.calibration_.unbind(), strict=True))

    def _check_fitted(self) -> None:
        if self.calibration_.isnan().any():
            raise NotFittedError("PixelCnn is not fitted. Call fit(batches, calibration) first.")

    @torch.no_grad()
    def _scores(self, images: Tensor) -> Scores:
        size = tuple(int(side) for side in self.size_)
        check_size(images, size)
        images = self.encoder(images.to(self.size_.device))
        noise = torch.rand(size, generator=Generator().manual_seed(self.config.seed))
        levels = dithered(images, self.config.levels, noise.to(images.device))
        surprise = _nats(self.network, levels).sum(dim=1)
        return Scores(
            surprise.double().sum(dim=(1, 2)).float(),
            neighbourhood_mean(surprise, self.config.neighbourhood),
        )

    def _calibrate(self, size: torch.Size, calibration: Iterable[Tensor]) -> None:
        self.size_.copy_(torch.tensor(size))
        found = calibrate(self._scores, held_out(calibration), self.config.false_alarm_rate)
        scores = found.scores.double()
        self.threshold_.copy_(found.threshold)
        self.pixel_threshold_.copy_(found.pixel_threshold)
        spread, num = scores.std(correction=0), scores.new_tensor(len(scores))
        self.calibration_.copy_(torch.stack([scores.mean(), spread, num]))


def _nats(network: nn.Module, levels: Int[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Surprise ``-log p`` at each value, given those before it."""
    channels = levels.shape[1]
    row = levels.permute(0, 2, 3, 1).flatten(start_dim=2)[:, None]
    logits = network(row).float()
    return _apart(functional.cross_entropy(logits, row[:, 0], reduction="none")[:, None], channels)


def _apart(row: Tensor, channels: int) -> Tensor:
    """Values that stand beside each other in a row, as colours of pixels. Shape (B, C, H, W)."""
    num, _, height, values = row.shape
    return row.reshape(num, height, values // channels, channels).permute(0, 3, 1, 2)
