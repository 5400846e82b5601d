"""One distribution of each pixel, given all pixels before it in raster order, without blind spot.

Shapes: B = batch, H W = image, K = gray levels, V = channels of the vertical stack, S = samples.
"""

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.functional.masked_convolution import ShiftedConv2d

ROWS, ASIDE, BEFORE = 6, 7, 7
"""What the first layers see: rows above, columns to either side there, pixels before in the row."""


class PixelNetwork(nn.Module):
    """Two stacks of residual convolutions: one over the rows above, one along the row itself.

    The first stack sees only rows above a pixel, at full width; the second only pixels before it
    in its own row, and what the first one says. Together they miss no earlier pixel within reach,
    which a single stack of masked convolutions does (its blind spot, to the upper right). Layers
    are residual, without the gates of the references.

    Args:
        num_levels: Gray levels K of a pixel.
        width: Channels along the row.
        above_width: Channels V of the stack over the rows above.
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
        above_width: int,
        depth: int,
        num_colours: int,
        dilations: tuple[int, ...] = (1,),
    ) -> None:
        super().__init__()
        steps = [dilations[layer % len(dilations)] for layer in range(depth)]
        self.num_levels, self.num_colours = num_levels, num_colours
        aside, before = ASIDE * num_colours, BEFORE * num_colours
        self.above_reach, self.before = ROWS + sum(steps), before + sum(steps)
        self.first_above = ShiftedConv2d(
            1, above_width, (ROWS, 2 * aside + 1), top=ROWS, left=aside
        )
        self.first_along = ShiftedConv2d(1, width, (1, before), top=0, left=before)
        self.colours = nn.Parameter(torch.zeros(num_colours, width))
        self.above_layers = nn.ModuleList(
            ShiftedConv2d(above_width, above_width, (2, 3), top=step, left=step, dilation=step)
            for step in steps
        )
        self.along_layers = nn.ModuleList(
            ShiftedConv2d(width, width, (1, 2), top=0, left=step, dilation=step) for step in steps
        )
        self.down = nn.ModuleList(nn.Conv2d(above_width, width, 1) for _ in range(depth + 1))
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
        return self.along(known, self.above(known))

    def above(self, known: Float[Tensor, "B 1 H W"]) -> list[Tensor]:
        """What each layer of the first stack says at each pixel. Shapes (B, V, H, W)."""
        hidden = self.first_above(known)
        found = [torch.relu(hidden)]
        for layer in self.above_layers:
            hidden = hidden + layer(found[-1])
            found.append(torch.relu(hidden))
        return found

    def along(
        self, known: Float[Tensor, "B 1 H W"], above: list[Tensor], *, start: int = 0
    ) -> Float[Tensor, "B K H W"]:
        """Logits from what is known of each row, and from what the first stack says there.

        Args:
            known: Scaled levels.
            above: What the first stack says of the same values.
            start: Place in its row of the first value.
        """
        places = torch.arange(start, start + known.shape[-1], device=known.device)
        colours = self.colours[places % self.num_colours].T[None, :, None]
        hidden = self.first_along(known) + self.down[0](above[0]) + colours
        for along, down, out, said in zip(
            self.along_layers, list(self.down)[1:], self.out, above[1:], strict=True
        ):
            hidden = hidden + out(torch.relu(along(torch.relu(hidden)) + down(said)))
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
            seen = self._scaled(levels[:, :, max(row - self.above_reach, 0) : row + 1])
            above = [features[:, :, -1:] for features in self.above(seen)]
            for column in range(width):
                start = max(column - self.before, 0)
                near = slice(start, column + 1)
                known = self._scaled(levels[:, :, row : row + 1, near])
                said = [features[..., near] for features in above]
                logits = self.along(known, said, start=start)[:, :, 0, -1].double()
                levels[:, 0, row, column] = pick(logits.cpu(), draw).to(device)
        return levels

    def _scaled(self, levels: Tensor) -> Tensor:
        """Levels in [-1, 1]: 0 is left for what lies outside the image."""
        scaled = 2 * levels.to(self.colours.dtype) / (self.num_levels - 1) - 1
        return scaled.contiguous(memory_format=torch.channels_last)


def pick(logits: Float[Tensor, "S K"], draw: Generator) -> Int[Tensor, "S"]:
    """One of K things for each row, with the probabilities that the logits stand for."""
    shares = functional.softmax(logits, dim=1).cumsum(dim=1)
    uniform = torch.rand(len(logits), 1, generator=draw, dtype=shares.dtype)
    return (uniform >= shares[:, :-1]).sum(dim=1)
