"""Probability estimation: learn to predict each block of pixels from those before (experimental).

Shapes: B = batch, C = channels, H W = image, S = side of a window, b = side of its block,
K = gray levels, c = 3 (mean frames or colours), D = features, h w = feature map, G = channels of
the decoder, r = first rows of a block.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.contracts import Encoder, Progress, silent
from models.errors import InvalidInputError, NotFittedError
from models.functional.blocks import hide, inside, random_places, tiling, windows
from models.functional.masked_convolution import MaskedConv2d
from models.functional.mean_frames import mean_frames
from models.functional.mean_image import MeanImage
from models.functional.receptive_field import ReceptiveField, centre
from models.training import Trainer, cosine, num_steps

FILL = 0.45
"""Gray of what is hidden in a window of which nothing is known: about that of natural images."""
MOST = 2 / 3
"""Side of a window relative to the image's shorter side, at most: so that most windows lie in it,
and the encoder learns from images rather than from what fills them up."""
FIRST = 1e-2
"""Deviation of the decoder's last weights at first, so that it begins at the histograms."""
EVALUATED = 16
"""Blocks of an image that ``evaluate`` looks at; an image of no more is measured exactly."""


class Autoregressive(nn.Module):
    """Model p(image) as a product over blocks in raster order, each given a window before it.

    The encoder sees a window whose lower right corner, the block, is hidden; nothing right of it
    or below it is in the window, so the product is a proper density of the image. Within the block
    a masked convolutional network, of no use afterwards, predicts the gray level of one pixel after
    the other (a PixelCNN), colour after colour, conditioned on the encoder's features. It sees
    nothing outside the block but through them, which is what makes them worth something. Its logits
    are added to those of each pixel's own histogram, all that there is to know of the background
    where the camera stands still; a training image does not count in the histogram of its own loss.

    Args:
        encoder: What to train.
        config: Hyper-parameters.

    Attributes:
        encoder: The encoder, trained after ``fit``.
        history_: Mean loss of each epoch in nats per value, empty before ``fit``.
        histogram_: Levels of each pixel of the training images: what the decoder's logits add to,
            and the trivial answer that ``evaluate`` compares with. None before ``fit``.

    References:
        van den Oord et al., 2016, "Conditional Image Generation with PixelCNN Decoders",
        section 2.4. https://arxiv.org/abs/1606.05328
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the autoregressive model."""

        epochs: int = 8
        """Passes over the images, >= 1."""
        learning_rate: float = 1e-3
        """Of Adam, > 0; falls to 0 along a half cosine."""
        crop: int = 96
        """Side of a window, in pixels; two thirds of the image's shorter side if that is smaller.
        AlexNet's trunk needs 31, thus images of 46."""
        block: float = 1 / 3
        """Side of the block relative to that of its window, in (0, 0.7)."""
        blocks_per_image: int = 2
        """Blocks predicted of each image in each epoch, >= 1."""
        candidates: int = 4
        """Places drawn for a block, of which the one with most movement is taken; 1 draws freely.
        Without effect on still images."""
        levels: int = 16
        """Gray levels that are distinguished, from 2 to 256."""
        width: int = 48
        """Channels of the decoder, >= 4."""
        seed: int = 0
        """Of blocks and the decoder's first weights."""

        def __post_init__(self) -> None:
            if min(self.epochs, self.blocks_per_image, self.candidates, self.crop) < 1:
                raise InvalidInputError(f"Counts and sizes must be >= 1, got {self}.")
            if not 0 < self.block < 0.7:
                raise InvalidInputError(f"block must be in (0, 0.7), got {self.block}.")
            if not 2 <= self.levels <= 256:
                raise InvalidInputError(f"levels must be from 2 to 256, got {self.levels}.")
            if not (self.learning_rate > 0 and self.width >= 4):
                raise InvalidInputError(
                    "learning_rate must be > 0 and width >= 4, got "
                    f"{self.learning_rate} and {self.width}."
                )

        def build(self, encoder: Encoder) -> "Autoregressive":
            """Return an unsolved task that will train ``encoder``."""
            return Autoregressive(encoder, self)

    encoder: Encoder
    histogram_: "PixelHistogram | None"

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.history_: list[float] = []
        self.histogram_ = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.decoder = BlockModel(
                encoder.embedding_dim, config.width, config.levels, encoder.receptive_field
            )

    def forward(
        self,
        hidden: Float[Tensor, "B C S S"],
        levels: Int[Tensor, "B 3 b b"],
        usual: Float[Tensor, "B K 3 b b"],
    ) -> Float[Tensor, "B K 3 b b"]:
        """Logits of a block's levels, from its window and the levels before each in the block.

        Args:
            hidden: Windows without their blocks.
            levels: Of the blocks.
            usual: Logits of the pixels' own histograms, which the network's are added to.
        """
        hint = self.decoder.hint(self.encoder(hidden), hidden.shape[-1], levels.shape[-1])
        logits: Tensor = self.decoder(hint, levels)
        return logits + usual

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "Autoregressive":
        """Train encoder and decoder on normal images by maximum likelihood.

        Args:
            batches: Normal images; iterated once per epoch.
            fabric: Device and precision; the CPU in float32 if None.
            progress: Shows the batches of all epochs.

        Raises:
            TrainingError: If the images are constant, there are none, or the loss diverges.
        """
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.learning_rate)
        total = num_steps(batches, self.config.epochs)
        trainer, seen = (
            Trainer(self.train(), optimizer, fabric, cosine(optimizer, total)),
            MeanImage(),
        )
        draw = Generator().manual_seed(trainer.seed(self.config.seed))
        histogram = PixelHistogram(self.config.levels)
        for images in trainer.epochs(batches, self.config.epochs, progress, "Autoregressive model"):
            if trainer.epoch == 0:
                seen.update(trainer.whole)
            loss = self._loss(trainer, images, draw, histogram)
            if trainer.epoch == 0:
                histogram.update(self._levels(trainer.whole))
            trainer.step(loss)
        seen.value()  # refuses images in which there was nothing to see
        self.histogram_, self.history_ = histogram, trainer.history()
        self.eval()
        return self

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Float[Tensor, "_ C H W"]]) -> Mapping[str, float]:
        """Surprise at held-out images, beside that of each pixel's own histogram.

        Returns:
            ``bits_per_dim`` and ``histogram_bits_per_dim``: of one gray level of one pixel, at most
            ``log2(levels)`` for a model that knows nothing; lower is better.

        Raises:
            NotFittedError: If called before ``fit``.
            InvalidInputError: If the images differ in size from the training images.
        """
        if self.histogram_ is None:
            raise NotFittedError("Autoregressive is not fitted. Call fit(batches) first.")
        sums = torch.zeros(3, dtype=torch.float64)
        for batch in batches:
            height, width = batch.shape[-2:]
            _, block = self._sizes(batch)
            alone = self.histogram_.nats(self._levels(batch))
            for place in tiling(height, width, block, EVALUATED):
                places = place.expand(len(batch), 2)
                usual = self.histogram_.logits(places, block)
                given = self._nats(self, *self._cut(batch, places), usual).cpu().double()
                free = windows(alone, places, block, block)[:, : given.shape[1]].cpu()
                counted = inside(places, block, block, height, width)[:, None].expand(given.shape)
                sums += torch.stack(
                    [given[counted].sum(), free[counted].sum(), counted.sum().double()]
                )
        bits = (sums / sums[2] / math.log(2)).tolist()
        return {"bits_per_dim": bits[0], "histogram_bits_per_dim": bits[1]}

    @torch.no_grad()
    def examples(self, images: Float[Tensor, "B C H W"]) -> Mapping[str, Float[Tensor, "B c H W"]]:
        """What is known of a block in the middle, its likeliest completion, and the original."""
        side, block = self._sizes(images)
        height, width = images.shape[-2:]
        top, left = ((size + side) // 2 - block for size in (height, width))
        places = torch.tensor([[top, left]]).expand(len(images), 2)
        hidden, _ = self._cut(images, places)
        assert self.histogram_ is not None
        usual = self.histogram_.logits(places, block)
        original = mean_frames(images).cpu()
        bottom, right = top + block, left + block
        context = torch.full_like(original, FILL)
        known = (slice(None), slice(None), slice(bottom - side, bottom), slice(right - side, right))
        context[known] = mean_frames(hidden).cpu()
        completed = context.clone()
        completed[:, :, top:bottom, left:right] = self._complete(hidden, usual).cpu()
        return {"context": context, "completed": completed.clamp(0, 1), "original": original}

    def _complete(self, hidden: Tensor, usual: Tensor) -> Float[Tensor, "B 3 b b"]:
        """Set one pixel after the other to its likeliest level."""
        device, block = next(self.parameters()).device, usual.shape[-1]
        hidden, usual = hidden.to(device), usual.to(device)
        hint = self.decoder.hint(self.encoder(hidden), hidden.shape[-1], block)
        levels = torch.zeros(len(hidden), 3, block, block, dtype=torch.long, device=device)
        colours = _num_colours(hidden)
        for row, column in torch.cartesian_prod(torch.arange(block), torch.arange(block)).tolist():
            for colour in range(colours):
                before = slice(row + 1)  # later rows have no say
                logits = self.decoder(hint[:, :, before], levels[:, :, before])
                logits = logits + usual[:, :, :, before]
                best = logits[:, :, colour, row, column].argmax(dim=1)
                alike = slice(None) if colours == 1 else slice(colour, colour + 1)
                levels[:, alike, row, column] = best[:, None]
        return (levels + 0.5) / self.config.levels

    def _sizes(self, images: Tensor) -> tuple[int, int]:
        side = max(min(self.config.crop, round(MOST * min(images.shape[-2:]))), 1)
        return side, max(round(self.config.block * side), 1)

    def _levels(self, images: Tensor) -> Int[Tensor, "B 3 H W"]:
        num = self.config.levels
        return (mean_frames(images) * num).long().clamp(0, num - 1)

    def _cut(self, images: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Windows without their blocks, and the levels of the blocks."""
        side, block = self._sizes(images)
        window = windows(images, places, side, block)
        known = inside(places, side, block, *images.shape[-2:])
        known[:, -block:, -block:] = False
        hidden = hide(window, known.to(images.device), FILL)
        return hidden, self._levels(window[:, :, -block:, -block:])

    def _loss(
        self, trainer: Trainer, images: Tensor, draw: Generator, histogram: "PixelHistogram"
    ) -> Tensor:
        repeated = images.repeat_interleave(self.config.blocks_per_image, dim=0)
        _, block = self._sizes(images)
        places = random_places(repeated, block, self.config.candidates, draw)
        hidden, levels = self._cut(repeated, places)
        usual = histogram.logits(places, block, levels if trainer.epoch else None)
        return self._nats(trainer.network, hidden, levels, usual).mean()

    def _nats(
        self, model: nn.Module, hidden: Tensor, levels: Tensor, usual: Tensor
    ) -> Float[Tensor, "B _ b b"]:
        """Surprise of each pixel; of gray images, whose colours are equal, of one colour."""
        device, colours = next(self.parameters()).device, _num_colours(hidden)
        hidden, levels, usual = (each.to(device) for each in (hidden, levels, usual))
        logits = model(hidden, levels, usual)[:, :, :colours].float()
        return functional.cross_entropy(logits, levels[:, :colours], reduction="none")


class BlockModel(nn.Module):
    """p(block | context) as a product over pixels and colours, each given all before it.

    Dilated convolutions carry the features of the context into the block, where masked
    convolutions add what is known of the block itself. These see nothing outside it: all that
    comes from there comes through the features.

    Args:
        embedding_dim: Features D.
        width: Channels in between, >= 4.
        num_levels: Gray levels K of a pixel.
        field: Receptive field of the features, which says where each one lies in the window.
    """

    def __init__(
        self, embedding_dim: int, width: int, num_levels: int, field: ReceptiveField
    ) -> None:
        super().__init__()
        self.num_levels, self.field = num_levels, field
        channels = 3 * max(width // 4, 1)
        self.local = nn.Sequential(nn.Conv2d(embedding_dim, width, kernel_size=1), nn.ReLU())
        for dilation in (1, 2, 4):
            self.local.append(
                nn.Conv2d(width, width, kernel_size=3, padding=dilation, dilation=dilation)
            )
            self.local.append(nn.ReLU())
        self.enlarge = nn.Sequential(
            nn.Conv2d(width, channels * field.stride**2, kernel_size=1),
            nn.PixelShuffle(field.stride),
        )
        self.overall = nn.Linear(embedding_dim, channels)
        self.first = MaskedConv2d(3, channels, 5, num_groups=3, see_itself=False)
        self.later = nn.ModuleList(
            MaskedConv2d(channels, channels, 3, num_groups=3, see_itself=True) for _ in range(2)
        )
        self.last = MaskedConv2d(channels, 3 * num_levels, 1, num_groups=3, see_itself=True)
        nn.init.normal_(self.last.convolution.weight, std=FIRST)

    def hint(
        self, feature_map: Float[Tensor, "B D h w"], side: int, block: int
    ) -> Float[Tensor, "B G b b"]:
        """What the features say about each pixel of the block in the lower right corner.

        Args:
            feature_map: Features of a window whose block is hidden.
            side: Of the window, in pixels.
            block: Side b of the block, in pixels.
        """
        stride, local = self.field.stride, self.local(feature_map)
        first = round(centre(self.field) - (stride - 1) / 2)
        cells = max((side - block - first) // stride, 0)  # before the block, of no use here
        local = self.enlarge(local[:, :, cells:, cells:])
        before = first + cells * stride - (side - block)
        after = block - before - local.shape[2]
        local = functional.pad(local, (before, after, before, after))
        overall = self.overall(feature_map.mean(dim=(2, 3)))[:, :, None, None]
        hinted: Tensor = local + overall
        return hinted

    def forward(
        self, hint: Float[Tensor, "B G r b"], levels: Int[Tensor, "B 3 r b"]
    ) -> Float[Tensor, "B K 3 r b"]:
        """Logits of each pixel's level, given the levels before it; any number of first rows."""
        known = 2 * levels.to(hint.dtype) / (self.num_levels - 1) - 1
        hidden = self.first(known) + hint
        for layer in self.later:
            hidden = hidden + layer(torch.relu(hidden))
        logits: Tensor = self.last(torch.relu(hidden))
        num, _, height, width = logits.shape
        return logits.reshape(num, 3, self.num_levels, height, width).transpose(1, 2)


class PixelHistogram:
    """Share of each gray level at each place, as if pixels knew nothing of each other.

    Args:
        num_levels: Gray levels K.
    """

    def __init__(self, num_levels: int) -> None:
        self._num_levels = num_levels
        self._counts: Tensor | None = None

    def update(self, levels: Int[Tensor, "B 3 H W"]) -> None:
        """Count the levels of more images, all of one size."""
        counts = torch.stack([(levels == k).sum(dim=0) for k in range(self._num_levels)])
        self._counts = counts if self._counts is None else self._counts + counts

    def logits(
        self, places: Int[Tensor, "B 2"], block: int, own: Int[Tensor, "B 3 b b"] | None = None
    ) -> Float[Tensor, "B K 3 b b"]:
        """Logits of the levels of blocks, every level counted once more than it was seen.

        Args:
            places: First row and column of each block; logits beyond the image are 0.
            block: Side of a block.
            own: Levels that were counted too and shall not be.
        """
        if self._counts is None:
            return torch.zeros(len(places), self._num_levels, 3, block, block)
        padded = functional.pad(self._counts, (0, block, 0, block))
        counts = torch.stack(
            [padded[:, :, y : y + block, x : x + block] for y, x in places.tolist()]
        )
        if own is not None:
            counts.scatter_add_(1, own[:, None].to(counts.device), -torch.ones_like(counts))
        return (counts.clamp(min=0) + 1).float().log()

    def nats(self, levels: Int[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """Surprise ``-log p`` of each pixel, every level counted once more than it was seen.

        Raises:
            InvalidInputError: If the images differ in size from those that were counted.
        """
        assert self._counts is not None
        if self._counts.shape[1:] != levels.shape[1:]:
            raise InvalidInputError(
                f"Images must have the size of the training images, {tuple(self._counts.shape[2:])}"
                f", got {tuple(levels.shape[2:])}. Set image_size in the recipe."
            )
        counts = self._counts.to(levels.device) + 1
        share = counts.double() / counts.sum(dim=0)
        return -share.gather(0, levels).log()


def _num_colours(images: Tensor) -> int:
    return 1 if images.shape[1] == 1 else 3
