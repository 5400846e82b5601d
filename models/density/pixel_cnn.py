"""PixelCNN: the probability of an image as a product over its pixels, each given those before it.

The variant with a vertical and a horizontal stack, which has no blind spot (van den Oord et al.,
2016, "Conditional Image Generation with PixelCNN Decoders"), but with plain residual layers in
place of its gated ones, with shifted convolutions in place of masked ones (PixelCNN++), and with
dilations (WaveNet). It is therefore not called Gated PixelCNN.

Shapes: B = batch, C = channels, H W = image, K = gray levels, V = channels of the vertical stack,
S = samples.
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
from models.errors import InvalidInputError
from models.fitting import (
    begin,
    calibration_scores,
    check_fitted,
    check_size,
    learned,
    require_pixels,
    value_of,
)
from models.functional.dithering import dithered
from models.functional.masked_convolution import ShiftedConv2d
from models.functional.shuffled import Shuffled
from models.functional.smoothing import neighbourhood_mean
from models.functional.thresholds import threshold_at_rate
from models.training import Trainer, initialise, lay_out, one_cycle

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises to its maximum."""
ROWS, ASIDE, BEFORE = 6, 7, 7
"""What the first layers see: rows above, columns to either side there, pixels before in the row."""


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
        """Gray levels K that are distinguished, from 2 (binary) to 256 (8 bits)."""
        width: int = 32
        """Channels of the horizontal stack, >= 1."""
        vertical_width: int = 32
        """Channels of the vertical stack, >= 1."""
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
            counts = self.width, self.vertical_width, self.depth, self.epochs, self.batch_size
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
            vertical_width=config.vertical_width,
            depth=config.depth,
            num_colours=encoder.embedding_dim,
            dilations=config.dilations,
        )
        learned(self, size_=(3,), calibration_=(3,), threshold_=(), pixel_threshold_=())

    @property
    def threshold(self) -> float:
        """Minus log-likelihood in nats from which an image is called anomalous."""
        return value_of(self.threshold_, self)

    @property
    def pixel_threshold(self) -> float:
        """Mean surprise in nats from which a pixel is called anomalous."""
        check_fitted(self.threshold_, self)
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
        config = self.config
        fabric = begin(self, self.threshold_, fabric)
        images = Shuffled(batches, seed=config.seed)
        initialise(self.network, config.seed)
        lay_out(self.network, torch.channels_last)
        draw = Generator().manual_seed(config.seed)
        total = config.epochs * images.num_batches(config.batch_size)
        optimizer = torch.optim.Adam(
            self.network.parameters(), lr=config.learning_rate, betas=(0.9, 0.99)
        )
        schedule = one_cycle(optimizer, config.learning_rate, total, WARM_UP)
        trainer = Trainer(self.network.train(), optimizer, fabric, schedule)
        steps = images.epochs(config.batch_size, config.epochs)
        for _, batch in trainer.steps(steps, total, progress, "PixelCNN"):
            noise = torch.rand(batch.shape, generator=draw)
            given, noise = fabric.to_device((batch, noise))
            levels = dithered(self.encoder(given), config.levels, noise)
            trainer.step(_nats(trainer.network, levels).sum(dim=(1, 2, 3)).mean())
        self.history_ = trainer.history()
        lay_out(self.network.eval(), torch.contiguous_format)
        self.size_.copy_(torch.tensor(images.shape[1:]))
        self._calibrate(calibration, progress)
        return self

    def forward(self, images: Float[Tensor, "B C H W"]) -> Scores:
        """Score a batch of images: minus log-likelihood, and the surprise at each pixel.

        Raises:
            NotFittedError: If called before ``fit``.
            InvalidInputError: If the images differ in size from the training images.
        """
        check_fitted(self.threshold_, self)
        return self._scores(images)

    def log_likelihood(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B"]:
        """Natural logarithm of the probability of each image's levels, in nats.

        The rounding of values between two levels is drawn once from the seed, alike for all images;
        images that hold only levels, such as binary ones, are taken as they are.

        Raises:
            NotFittedError: If called before ``fit``.
            InvalidInputError: If the images differ in size from the training images.
        """
        check_fitted(self.threshold_, self)
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
        check_fitted(self.threshold_, self)
        channels, height, width = (int(side) for side in self.size_)
        draw = Generator().manual_seed(seed)
        levels = self.network.sample(num, height, width * channels, draw)
        return _apart(levels, channels).float() / (self.config.levels - 1)

    def statistics(self) -> Mapping[str, Tensor]:
        """Mean, standard deviation and count of the calibration images' scores, in nats.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.threshold_, self)
        names = ("nats_mean", "nats_std", "nats_count")
        return dict(zip(names, self.calibration_.unbind(), strict=True))

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

    def _calibrate(self, calibration: Iterable[Tensor], progress: Progress) -> None:
        device, rate = self.size_.device, self.config.false_alarm_rate
        scores, highest = calibration_scores(self._scores, calibration, progress, device)
        self.pixel_threshold_.copy_(threshold_at_rate(highest, rate))
        self.threshold_.copy_(threshold_at_rate(scores, rate))
        scores = scores.double()
        deviation, num = scores.std(correction=0), scores.new_tensor(len(scores))
        self.calibration_.copy_(torch.stack([scores.mean(), deviation, num]))


class PixelNetwork(nn.Module):
    """A vertical and a horizontal stack of residual convolutions, without gates.

    The vertical stack sees only rows above a pixel, at full width; the horizontal one only pixels
    before it in its own row, and the features of the vertical one. Together they miss no earlier
    pixel within reach, which a single stack of masked convolutions does (its blind spot, to the
    upper right). Layers are residual, without the gates of the references.

    Args:
        num_levels: Gray levels K of a pixel.
        width: Channels along the row.
        vertical_width: Channels V of the vertical stack.
        depth: Residual layers, >= 1; each reaches ``dilation`` rows and pixels further.
        dilations: Of the layers, in turn: how far a layer looks beside the pixel itself.
        num_colours: Values of a pixel. They stand beside each other in the row.

    References:
        van den Oord et al., 2016, "Conditional Image Generation with PixelCNN Decoders",
        section 2.2. https://arxiv.org/abs/1606.05328
        Salimans et al., 2017, "PixelCNN++" (shifted convolutions in place of masked ones).
        https://arxiv.org/abs/1701.05517
    """

    def __init__(
        self,
        num_levels: int,
        *,
        width: int,
        vertical_width: int,
        depth: int,
        num_colours: int,
        dilations: tuple[int, ...] = (1,),
    ) -> None:
        super().__init__()
        steps = [dilations[layer % len(dilations)] for layer in range(depth)]
        self.num_levels, self.num_colours = num_levels, num_colours
        aside, before = ASIDE * num_colours, BEFORE * num_colours
        self.vertical_reach, self.before = ROWS + sum(steps), before + sum(steps)
        self.first_vertical = ShiftedConv2d(
            1, vertical_width, (ROWS, 2 * aside + 1), top=ROWS, left=aside
        )
        self.first_horizontal = ShiftedConv2d(1, width, (1, before), top=0, left=before)
        self.colours = nn.Parameter(torch.zeros(num_colours, width))
        self.vertical_layers = nn.ModuleList(
            ShiftedConv2d(
                vertical_width, vertical_width, (2, 3), top=step, left=step, dilation=step
            )
            for step in steps
        )
        self.horizontal_layers = nn.ModuleList(
            ShiftedConv2d(width, width, (1, 2), top=0, left=step, dilation=step) for step in steps
        )
        self.down = nn.ModuleList(nn.Conv2d(vertical_width, width, 1) for _ in range(depth + 1))
        self.out = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(depth))
        self.last = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 1),
            nn.ReLU(),
            nn.Conv2d(2 * width, num_levels, 1),
        )

    def reset_parameters(self) -> None:
        """Forget the colours; every layer forgets its own weights."""
        nn.init.zeros_(self.colours)

    def forward(self, levels: Int[Tensor, "B 1 H W"]) -> Float[Tensor, "B K H W"]:
        """Logits of every value's level, each given the values before it."""
        known = self._scaled(levels)
        return self.horizontal(known, self.vertical(known))

    def vertical(self, known: Float[Tensor, "B 1 H W"]) -> list[Tensor]:
        """Features of each layer of the vertical stack at each pixel. Shapes (B, V, H, W)."""
        hidden = self.first_vertical(known)
        found = [torch.relu(hidden)]
        for layer in self.vertical_layers:
            hidden = hidden + layer(found[-1])
            found.append(torch.relu(hidden))
        return found

    def horizontal(
        self, known: Float[Tensor, "B 1 H W"], vertical: list[Tensor], *, start: int = 0
    ) -> Float[Tensor, "B K H W"]:
        """Logits from what is known of each row, and from the features of the vertical stack there.

        Args:
            known: Scaled levels.
            vertical: Features of the vertical stack at the same values.
            start: Place in its row of the first value.
        """
        places = torch.arange(start, start + known.shape[-1], device=known.device)
        colours = self.colours[places % self.num_colours].T[None, :, None]
        hidden = self.first_horizontal(known) + self.down[0](vertical[0]) + colours
        for layer, down, out, features in zip(
            self.horizontal_layers, list(self.down)[1:], self.out, vertical[1:], strict=True
        ):
            hidden = hidden + out(torch.relu(layer(torch.relu(hidden)) + down(features)))
        logits: Tensor = self.last(hidden)
        return logits

    @torch.no_grad()
    def sample(self, num: int, height: int, width: int, draw: Generator) -> Int[Tensor, "S 1 H W"]:
        """Draw images value by value.

        Args:
            num: Images S.
            height: Rows.
            width: Values in a row.
            draw: Source of randomness, on the CPU.
        """
        device = self.colours.device
        levels = torch.zeros(num, 1, height, width, dtype=torch.long, device=device)
        for row in range(height):
            seen = self._scaled(levels[:, :, max(row - self.vertical_reach, 0) : row + 1])
            vertical = [features[:, :, -1:] for features in self.vertical(seen)]
            for column in range(width):
                start = max(column - self.before, 0)
                near = slice(start, column + 1)
                known = self._scaled(levels[:, :, row : row + 1, near])
                near_features = [features[..., near] for features in vertical]
                logits = self.horizontal(known, near_features, start=start)[:, :, 0, -1]
                shares = logits.double().cpu().softmax(dim=1)
                drawn = torch.multinomial(shares, 1, generator=draw)[:, 0]
                levels[:, 0, row, column] = drawn.to(device)
        return levels

    def _scaled(self, levels: Tensor) -> Tensor:
        """Levels in [-1, 1]: 0 is left for what lies outside the image."""
        scaled = 2 * levels.to(self.colours.dtype) / (self.num_levels - 1) - 1
        return scaled.contiguous(memory_format=torch.channels_last)


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
