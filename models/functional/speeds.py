"""Speeds: how fast what moves around each cell of a feature map moves, and which way.

Shapes: B = batch, C = channels, H W = image, h w = feature map.
"""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from models.contracts import WINDOW
from models.functional.block_matching import STEP, block_flow
from models.functional.receptive_field import ReceptiveField, centre
from models.functional.shared_frames import of_each_frame
from models.functional.windows import block_mean, window_mean

NUM_SPEEDS = 5
CELL = 4
"""Side in pixels of the squares whose means flow is computed of."""
BLOCK = CELL * STEP
"""Side in pixels of the blocks that flow is found for."""
CHANGED = 0.06
"""Mean difference of gray levels from the first frame to the last from which a block counts as
moving."""
LEVELS = 255
"""Gray levels of 8 bits, by which those of images in [0, 1] are counted."""
AROUND = 3
"""Side in blocks of the square around a place over which moving blocks are averaged."""
FEW = 0.05
"""Share of moving blocks below which their mean is pulled to zero."""


def speeds(
    images: Float[Tensor, "B C H W"], field: ReceptiveField, rows: int, columns: int
) -> Float[Tensor, "B 5 h w"]:
    """Mean movement of what moves around the centre of each cell's field, in pixels in one frame.

    Speed, speed across, speed up or down, movement down, and root mean square speed; each of the
    squares that changed from the first frame to the last. Flow leads from the middle mean frame to
    the last one, two frames later. Still images do not move: all are 0.

    Args:
        images: Clips of six frames, or still images.
        field: Receptive field of the cells.
        rows: Rows h of the feature map.
        columns: Columns w of the feature map.
    """
    if images.shape[1] != WINDOW:
        return images.new_zeros(images.shape[0], NUM_SPEEDS, rows, columns)
    cells = of_each_frame(lambda frames: _levels(frames, CELL), images)
    middle, last = (cells[:, t] + cells[:, t + 1] for t in (2, 4))
    flow = block_flow(middle, last, white=2.0 * LEVELS * CELL**2) * (CELL / 2)
    change = _levels((images[:, 5:] - images[:, :1]).abs_(), BLOCK)
    moving = (change > CHANGED * LEVELS * BLOCK**2).to(flow)
    across, down = flow[:, 0], flow[:, 1]
    squared = across.square() + down.square()
    parts = [squared.sqrt(), across.abs(), down.abs(), down, squared]
    means = window_mean(torch.cat([torch.stack(parts, dim=1) * moving, moving], dim=1), AROUND)
    means = means[:, :-1] / (means[:, -1:] + FEW)
    found = torch.cat([means[:, :4], means[:, 4:].clamp(min=0).sqrt()], dim=1)
    return _at_centres(found, field, rows, columns)


def _levels(images: Float[Tensor, "B C H W"], side: int) -> Float[Tensor, "B C y x"]:
    """Sums of 8-bit gray levels over blocks: whole numbers, whoever adds them up in which order."""
    return (block_mean(images, side) * (LEVELS * side**2)).round_()


def _at_centres(
    values: Float[Tensor, "B C y x"], field: ReceptiveField, rows: int, columns: int
) -> Float[Tensor, "B C h w"]:
    """Values of blocks, looked up between them where the centres of the fields are."""
    down, across = (
        _between(field, *pair).to(values)
        for pair in ((rows, values.shape[-2]), (columns, values.shape[-1]))
    )
    return down @ values @ across.mT


@lru_cache(maxsize=64)
def _between(field: ReceptiveField, cells: int, blocks: int) -> Float[Tensor, "cells blocks"]:
    """Weights of blocks along an axis at the centres of fields; at the ends, of the last alone.

    Linear between the middles of two blocks.
    """
    pixels = torch.arange(cells) * field.stride + centre(field)
    places = ((pixels.double() + 0.5) / BLOCK - 0.5).clamp(0, blocks - 1)
    apart = (places[:, None] - torch.arange(blocks)).abs()
    return (1 - apart).clamp(min=0).float()
