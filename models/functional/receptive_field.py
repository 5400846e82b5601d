"""Receptive fields: which pixels a cell of a feature map sees, and back from cells to pixels.

Shapes: B = batch, H W = image, h w = feature map.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Layer(NamedTuple):
    """Geometry of a convolution or pooling along one axis, in its own input's cells."""

    kernel: int
    stride: int = 1
    padding: int = 0


class ReceptiveField(NamedTuple):
    """Pixels that cell (i, j) sees: rows ``i * stride - offset`` to that plus ``size``, same for j.

    Attributes:
        size: Side of the square, in pixels.
        stride: Pixels from one cell's square to the next one's.
        offset: Pixels by which cell 0's square begins before the image.
    """

    size: int
    stride: int
    offset: int

    def box(self, row: int, column: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Square of a cell, clipped to the image: first row and column, and one past the last."""
        top, left = (index * self.stride - self.offset for index in (row, column))
        bottom, right = min(top + self.size, height), min(left + self.size, width)
        return max(top, 0), max(left, 0), bottom, right


def receptive_field(layers: Iterable[Layer]) -> ReceptiveField:
    """Receptive field of a stack of layers, first layer first.

    Example:
        >>> receptive_field([Layer(11, 4, 2), Layer(3, 2), Layer(5, 1, 2)])
        ReceptiveField(size=51, stride=8, offset=18)

    References:
        Araujo, Norris and Sim, 2019, "Computing Receptive Fields of Convolutional Neural
        Networks", eq. 2 and 7. https://doi.org/10.23915/distill.00021
    """
    size, stride, offset = 1, 1, 0
    for layer in layers:
        size += (layer.kernel - 1) * stride
        offset += layer.padding * stride
        stride *= layer.stride
    return ReceptiveField(size, stride, offset)


def votes(
    rejected: Bool[Tensor, "B h w"], field: ReceptiveField, height: int, width: int
) -> Int[Tensor, "B H W"]:
    """Number of rejected cells whose receptive field covers each pixel."""
    rows = _covers(rejected.shape[1], height, field).double().to(rejected.device)
    columns = _covers(rejected.shape[2], width, field).double().to(rejected.device)
    return (rows @ rejected.double() @ columns.mT).round().long()


def roll_back(
    scores: Float[Tensor, "B h w"],
    field: ReceptiveField,
    height: int,
    width: int,
    *,
    num_votes: int = 1,
) -> Float[Tensor, "B H W"]:
    """Pixel map of cell scores: at each pixel, the ``num_votes``-th largest of the covering fields.

    So for every threshold t, a pixel is ``>= t`` exactly if at least ``num_votes`` overlapping
    fields with scores ``>= t`` cover it: the roll-back of Deep-Anomaly for all thresholds at once.
    A pixel that fewer fields cover needs all of them; one that no field covers gets ``-inf``.

    Args:
        scores: Score of each cell.
        field: Receptive field of the cells.
        height: Rows H of the image.
        width: Columns W of the image.
        num_votes: Overlapping fields that must agree.

    References:
        Sabokrou et al., 2018, "Deep-anomaly", section 3.4 (zeta = ``num_votes - 1``).
        https://arxiv.org/abs/1609.00866
    """
    row_of, rows, row_known = (
        t.to(scores.device) for t in _windows(scores.shape[1], height, field)
    )
    column_of, columns, column_known = (
        t.to(scores.device) for t in _windows(scores.shape[2], width, field)
    )
    known = row_known[:, None, :, None] & column_known[None, :, None, :]
    covering = scores[:, rows[:, None, :, None], columns[None, :, None, :]]
    covering = covering.masked_fill(~known, -torch.inf).flatten(3)
    rank = known.flatten(2).sum(dim=-1).clamp(1, num_votes) - 1
    largest = covering.topk(min(num_votes, covering.shape[-1]), dim=-1).values
    chosen = largest.gather(3, rank.expand(len(scores), -1, -1)[..., None])[..., 0]
    return chosen[:, row_of][:, :, column_of]


def _covers(cells: int, pixels: int, field: ReceptiveField) -> Bool[Tensor, "pixels cells"]:
    first = torch.arange(cells) * field.stride - field.offset
    at = torch.arange(pixels)[:, None]
    return (first <= at) & (at < first + field.size)


def _windows(cells: int, pixels: int, field: ReceptiveField) -> tuple[Tensor, Tensor, Tensor]:
    """Along one axis: group of each pixel, and cells of each group with whether they are real.

    Neighbouring pixels that the same cells cover form a group, so that work is done once for all.
    """
    covers = _covers(cells, pixels, field)
    distinct, group_of = torch.unique(covers, dim=0, return_inverse=True)
    widest = max(int(distinct.sum(dim=1).max()), 1)
    order = distinct.int().argsort(dim=1, descending=True, stable=True)[:, :widest]
    return group_of, order, distinct.gather(1, order)


def centre(field: ReceptiveField) -> float:
    """Pixel coordinate of the middle of cell 0's square; cell i's lies ``i * stride`` further."""
    return (field.size - 1) / 2 - field.offset


def num_covering(field: ReceptiveField) -> int:
    """Largest number of cells, along one axis, that cover the same pixel."""
    return math.ceil(field.size / field.stride)
