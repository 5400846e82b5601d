"""Movement: what moves around each cell of a feature map, how fast, which way, and where.

Shapes: B = batch, C = channels, H W = image, h w = feature map.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from models.contracts import WINDOW
from models.functional.flow import optical_flow
from models.functional.receptive_field import ReceptiveField, centre

NUM_MOVEMENTS = 9
SIDE = 24
"""Side in pixels of the square around a cell's centre that is looked at."""
MOVING = 0.3
"""Pixels in one frame from which a pixel counts as moving."""
FEW = 0.02
"""Share of moving pixels below which their mean is pulled to zero."""


def movement(
    images: Float[Tensor, "B C H W"], field: ReceptiveField, rows: int, columns: int
) -> Float[Tensor, "B 9 h w"]:
    """Statistics of optical flow around the centre of each cell's field, and its row.

    In order: share of moving pixels; of these the mean speed, mean speed across, mean movement
    down, mean speed up or down, and root mean square speed; the largest speed; then the row of the
    cell from -1 (top) to 1 and its square. With the rows in the same Gaussian, what is expected of
    the others follows perspective. Flow is the mean of two, each between mean frames one frame
    apart. Speeds are in pixels in one frame. Still images do not move: all are 0.

    Args:
        images: Clips of six frames, or still images.
        field: Receptive field of the cells.
        rows: Rows h of the feature map.
        columns: Columns w of the feature map.
    """
    if images.shape[1] != WINDOW:
        return images.new_zeros(len(images), NUM_MOVEMENTS, rows, columns)
    pairs = (images[:, 1:] + images[:, :-1]) / 2
    flow = (optical_flow(pairs[:, 3], pairs[:, 4]) + optical_flow(pairs[:, 1], pairs[:, 2])) / 2
    speed = flow.norm(dim=1)
    moving = (speed > MOVING).to(speed)
    across, down = flow[:, 0], flow[:, 1]
    summed = torch.stack([speed, across.abs(), down, down.abs(), speed.square()], dim=1)
    values = torch.cat([moving[:, None], summed * moving[:, None], speed[:, None]], dim=1)
    padded, step = _padded(values, field, rows, columns), field.stride
    mean = functional.avg_pool2d(padded[:, :6], SIDE, step)
    fastest = functional.max_pool2d(padded[:, 6:], SIDE, step)
    share = mean[:, :1]
    of_moving = mean[:, 1:] / (share + FEW)
    of_moving = torch.cat([of_moving[:, :4], of_moving[:, 4:].sqrt()], dim=1)
    row = torch.linspace(-1, 1, rows, device=images.device, dtype=images.dtype)
    row = row[:, None].expand(len(images), 1, rows, columns)
    return torch.cat([share, of_moving, fastest, row, row.square()], dim=1)


def _padded(values: Tensor, field: ReceptiveField, rows: int, columns: int) -> Tensor:
    """``values`` from the first pixel around the first cell to the last around the last one."""
    first = round(centre(field) - (SIDE - 1) / 2)
    ends = [first + (cells - 1) * field.stride + SIDE for cells in (rows, columns)]
    height, width = values.shape[-2:]
    sides = (-first, ends[1] - width, -first, ends[0] - height)
    grown = functional.pad(values, [max(side, 0) for side in sides], mode="replicate")
    start = max(first, 0)
    return grown[:, :, start : start + ends[0] - first, start : start + ends[1] - first]
