"""Speeds: how fast what moves around each cell of a feature map moves, and which way.

Shapes: B = batch, C = channels, H W = image, h w = feature map.
"""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

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
    cells = of_each_frame(lambda frames: block_mean(frames, CELL), images[:, 2:])
    middle, last = ((cells[:, t] + cells[:, t + 1]) / 2 for t in (0, 2))
    flow = block_flow(middle, last) * (CELL / 2)
    change = block_mean((images[:, 5:] - images[:, :1]).abs_(), BLOCK)
    moving = (change > CHANGED).to(flow)
    across, down = flow[:, 0], flow[:, 1]
    squared = across.square() + down.square()
    parts = [squared.sqrt(), across.abs(), down.abs(), down, squared]
    means = window_mean(torch.cat([torch.stack(parts, dim=1) * moving, moving], dim=1), AROUND)
    means = means[:, :-1] / (means[:, -1:] + FEW)
    found = torch.cat([means[:, :4], means[:, 4:].clamp(min=0).sqrt()], dim=1)
    return _at_centres(found, field, rows, columns)


def _at_centres(
    values: Float[Tensor, "B C y x"], field: ReceptiveField, rows: int, columns: int
) -> Float[Tensor, "B C h w"]:
    """Values of blocks, looked up between them where the centres of the fields are."""
    centres = _centres(field, (rows, columns), (values.shape[-2], values.shape[-1]))
    places = centres.to(values).expand(values.shape[0], -1, -1, -1)
    return functional.grid_sample(values, places, padding_mode="border", align_corners=False)


@lru_cache(maxsize=64)
def _centres(
    field: ReceptiveField, cells: tuple[int, int], blocks: tuple[int, int]
) -> Float[Tensor, "1 h w 2"]:
    """Centres of the cells' fields on a map of blocks, whose edges are at -1 and 1."""
    grid = []
    for number, size in zip(cells, blocks, strict=True):
        pixels = torch.arange(number) * field.stride + centre(field)
        grid.append((pixels.float() + 0.5) * (2 / (BLOCK * size)) - 1)
    down, across = torch.meshgrid(*grid, indexing="ij")
    return torch.stack([across, down], dim=-1)[None]
