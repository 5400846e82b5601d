"""Movement: what moves or changes around each cell of a feature map, how fast, and which way.

Shapes: B = batch, C = channels, H W = image, h w = feature map.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from models.contracts import WINDOW
from models.functional.flow import optical_flow
from models.functional.receptive_field import ReceptiveField, centre

NUM_MOVEMENTS = 15
CHANGES = slice(7, 13)
"""Which of them are statistics of change."""
SIDE = 24
"""Side in pixels of the square around a cell's centre that is looked at."""
MOVING = 0.3
"""Pixels in one frame from which a pixel counts as moving."""
FEW = 0.02
"""Share of moving pixels below which their mean is pulled to zero."""
SPOT = 5
"""Side in pixels of the square over which the largest change is smoothed."""


def movement(
    images: Float[Tensor, "B C H W"], field: ReceptiveField, rows: int, columns: int
) -> Float[Tensor, "B 15 h w"]:
    """Statistics of flow and of change around the centre of each cell's field, and its row.

    Of optical flow: share of moving pixels; of these the mean speed, mean speed across, mean
    movement down, mean speed up or down, and root mean square speed; the largest speed. Speeds are
    in pixels in one frame, of flow that is the mean of two, each between mean frames one frame
    apart.

    Of change, the absolute difference of gray levels: its mean from each frame to the next, to the
    one after, from the first frame to the last, and from the first mean frame to the last; its root
    mean square from each frame to the next, and the largest. It sees what flow is too coarse for.

    The last two are the row of the cell from -1 (top) to 1, and its square: with the rows in the
    same Gaussian, what is expected of the others follows perspective. Still images do not move: all
    are 0.

    Args:
        images: Clips of six frames, or still images.
        field: Receptive field of the cells.
        rows: Rows h of the feature map.
        columns: Columns w of the feature map.
    """
    if images.shape[1] != WINDOW:
        return images.new_zeros(images.shape[0], NUM_MOVEMENTS, rows, columns)
    around = _Around(field, rows, columns)
    row = torch.linspace(-1, 1, rows, device=images.device, dtype=images.dtype)
    row = row[:, None].expand(images.shape[0], 1, rows, columns)
    return torch.cat([_flow(images, around), _change(images, around), row, row.square()], dim=1)


class _Around(NamedTuple):
    """The squares around the cells' centres."""

    field: ReceptiveField
    rows: int
    columns: int

    def mean(self, values: Tensor) -> Float[Tensor, "B C h w"]:
        return functional.avg_pool2d(_padded(values, *self), SIDE, self.field.stride)

    def largest(self, values: Tensor) -> Float[Tensor, "B C h w"]:
        return functional.max_pool2d(_padded(values, *self), SIDE, self.field.stride)


def _flow(images: Tensor, around: _Around) -> Float[Tensor, "B 7 h w"]:
    pairs = (images[:, 1:] + images[:, :-1]) / 2
    flow = (optical_flow(pairs[:, 3], pairs[:, 4]) + optical_flow(pairs[:, 1], pairs[:, 2])) / 2
    speed = flow.norm(dim=1)
    moving = (speed > MOVING).to(speed)
    across, down = flow[:, 0], flow[:, 1]
    summed = torch.stack([speed, across.abs(), down, down.abs(), speed.square()], dim=1)
    mean = around.mean(torch.cat([moving[:, None], summed * moving[:, None]], dim=1))
    share = mean[:, :1]
    of_moving = mean[:, 1:] / (share + FEW)
    of_moving = torch.cat([of_moving[:, :4], of_moving[:, 4:].sqrt()], dim=1)
    return torch.cat([share, of_moving, around.largest(speed[:, None])], dim=1)


def _change(images: Tensor, around: _Around) -> Float[Tensor, "B 6 h w"]:
    first, last = (images[:, :2].mean(dim=1), images[:, -2:].mean(dim=1))
    step = (images[:, 1:] - images[:, :-1]).abs()
    steps = step.mean(dim=1)
    two = (images[:, 2:] - images[:, :-2]).abs().mean(dim=1)
    whole = (images[:, -1] - images[:, 0]).abs()
    squared = step.square().mean(dim=1)
    mean = around.mean(torch.stack([steps, two, whole, (last - first).abs(), squared], dim=1))
    spots = functional.avg_pool2d(steps[:, None], SPOT, 1, SPOT // 2)
    return torch.cat([mean[:, :4], mean[:, 4:].sqrt(), around.largest(spots)], dim=1)


def _padded(values: Tensor, field: ReceptiveField, rows: int, columns: int) -> Tensor:
    """``values`` from the first pixel around the first cell to the last around the last one."""
    first = round(centre(field) - (SIDE - 1) / 2)
    ends = [first + (cells - 1) * field.stride + SIDE for cells in (rows, columns)]
    height, width = values.shape[-2:]
    sides = (-first, ends[1] - width, -first, ends[0] - height)
    grown = functional.pad(values, [max(side, 0) for side in sides], mode="replicate")
    start = max(first, 0)
    return grown[:, :, start : start + ends[0] - first, start : start + ends[1] - first]
