"""Receptive fields: which pixels a cell of a feature map sees, and back from cells to pixels.

Shapes: B = batch, H W = image, h w = feature map.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import zip_longest
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
    largest = scores[None]
    for axis, index, known in ((2, columns, column_known), (1, rows, row_known)):
        largest = _largest_along(largest, axis, index, known, num_votes)
    covering = row_known.sum(dim=1)[:, None] * column_known.sum(dim=1)
    rank = covering.clamp(1, len(largest)) - 1
    chosen = largest.gather(0, rank.expand(1, len(scores), -1, -1))[0]
    return chosen.index_select(1, row_of).index_select(2, column_of)


def _largest_along(
    lists: Float[Tensor, "k B y x"],
    axis: int,
    index: Int[Tensor, "groups width"],
    known: Bool[Tensor, "groups width"],
    num: int,
) -> Float[Tensor, "K B Y X"]:
    """Along an axis of maps, the ``num`` largest values in each group of places.

    Values at a place are a list in descending order, and so are those of a group: the largest of
    a rectangle are the largest of the largest of its rows.

    Args:
        lists: Values at each place, the largest first.
        axis: 1 for rows, 2 for columns.
        index: Places of each group.
        known: Which of them count.
        num: How many values are kept, at most.
    """
    shape = [-1 if axis == dim else 1 for dim in range(3)]
    members = []
    for slot in range(index.shape[1]):
        values = lists.index_select(axis + 1, index[:, slot])
        absent = ~known[:, slot].view(shape)
        members.append(list(values.masked_fill_(absent, -torch.inf).unbind()))
    while len(members) > 1:  # a tournament: neighbours are merged two by two
        pairs = zip(members[::2], members[1::2], strict=False)
        merged = [_merged(one, other, num) for one, other in pairs]
        members = merged + members[2 * len(merged) :]
    return torch.stack(members[0])


def _merged(one: Sequence[Tensor], other: Sequence[Tensor], num: int) -> list[Tensor]:
    """The ``num`` largest values of two lists in descending order, place by place, in order.

    References:
        Batcher, 1968, "Sorting networks and their applications" (odd-even merge).
        https://doi.org/10.1145/1468075.1468121
    """
    if not one or not other:
        return list(one or other)[:num]
    if len(one) == len(other) == 1:
        return [torch.maximum(one[0], other[0]), torch.minimum(one[0], other[0])][:num]
    even = _merged(one[::2], other[::2], num)
    odd = _merged(one[1::2], other[1::2], num)
    merged = [even[0]]
    for high, low in zip_longest(odd, even[1:]):
        if high is None or low is None:
            merged.append(low if high is None else high)
        else:
            merged += [torch.maximum(high, low), torch.minimum(high, low)]
    return merged[:num]


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
