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
from torch.nn import functional


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
    row_of, rows = _covering(scores.shape[1], height, field)
    column_of, columns = _covering(scores.shape[2], width, field)
    largest = _largest_along([scores], 2, columns, num_votes)
    largest = _largest_along(largest, 1, rows, num_votes)
    covering = _num(rows)[:, None] * _num(columns)
    rank = (covering.clamp(1, len(largest)) - 1).to(scores.device)
    chosen = torch.stack(largest).gather(0, rank.expand(1, len(scores), -1, -1))[0]
    to_rows, to_columns = row_of.to(scores.device), column_of.to(scores.device)
    return chosen.index_select(1, to_rows).index_select(2, to_columns)


def _largest_along(
    lists: Sequence[Float[Tensor, "B y x"]], axis: int, groups: Sequence[range], num: int
) -> list[Float[Tensor, "B Y X"]]:
    """Along an axis of maps, the ``num`` largest values in each group of neighbouring places.

    Values at a place are a list in descending order, and so are those of a group: the largest of
    a rectangle are the largest of the largest of its rows.

    Args:
        lists: Values at each place, the largest first.
        axis: 1 for rows, 2 for columns.
        groups: Places of each group; groups that do not reach an edge have few different sizes.
        num: How many values are kept, at most.
    """
    cells, widest = lists[0].shape[axis], max(*map(len, groups), 1)
    sides = [widest, widest] if axis == 2 else [0, 0, widest, widest]
    windows = _Windows([functional.pad(t, sides, value=-torch.inf) for t in lists], axis, num)
    inner = [group.start > 0 and group.stop < cells for group in groups]
    sizes = [len(group) if each else widest for group, each in zip(groups, inner, strict=True)]
    starts = [  # in the padded map; beyond the edge nothing counts
        group.start if each or group.stop == cells else group.stop - widest
        for group, each in zip(groups, inner, strict=True)
    ]
    found = [lists[0].new_full(_sized(lists[0], axis, len(groups)), -torch.inf) for _ in range(num)]
    most = 0
    for size in sorted(set(sizes)):
        at = torch.tensor([place for place, each in enumerate(sizes) if each == size])
        start = torch.tensor([starts[place] + widest for place in at.tolist()])
        at, start = at.to(lists[0].device), start.to(lists[0].device)
        largest = windows.of_size(size)
        for into, values in zip(found, largest, strict=False):
            into.index_copy_(axis, at, values.index_select(axis, start))
        most = max(most, len(largest))
    return found[:most]


def _sized(values: Tensor, axis: int, size: int) -> list[int]:
    return [size if dim == axis else length for dim, length in enumerate(values.shape)]


class _Windows:
    """Largest values in all windows of neighbouring places along an axis.

    Windows of 2, 4, 8, ... places are made of the two halves, others of those.
    """

    def __init__(self, places: list[Tensor], axis: int, num: int) -> None:
        self._of_power, self._axis, self._num = [places], axis, num

    def of_size(self, size: int) -> list[Tensor]:
        """Of each window, by its first place."""
        while 2 ** len(self._of_power) <= size:
            half = self._of_power[-1]
            self._of_power.append(self._joined(half, half, 2 ** (len(self._of_power) - 1)))
        total, covered = None, 0
        for power, values in enumerate(self._of_power):
            if size >> power & 1:
                total = values if total is None else self._joined(total, values, covered)
                covered += 2**power
        assert total is not None
        return total

    def _joined(self, one: list[Tensor], other: list[Tensor], offset: int) -> list[Tensor]:
        """Of windows that begin with one of ``one`` and go on with one of ``other``."""
        axis = self._axis
        length = min(one[0].shape[axis], other[0].shape[axis] - offset)
        first = [values.narrow(axis, 0, length) for values in one]
        return _merged(first, [values.narrow(axis, offset, length) for values in other], self._num)


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


def _covering(cells: int, pixels: int, field: ReceptiveField) -> tuple[Tensor, list[range]]:
    """Along one axis: group of each pixel, and the cells that cover the pixels of each group.

    Neighbouring pixels that the same cells cover form a group, so that work is done once for all.
    """
    covers = _covers(cells, pixels, field)
    distinct, group_of = torch.unique(covers, dim=0, return_inverse=True)
    groups = []
    for row in distinct:
        covering = row.nonzero()[:, 0].tolist()
        groups.append(range(covering[0], covering[-1] + 1) if covering else range(0))
    return group_of, groups


def _num(groups: Sequence[range]) -> Tensor:
    return torch.tensor([len(group) for group in groups])


def centre(field: ReceptiveField) -> float:
    """Pixel coordinate of the middle of cell 0's square; cell i's lies ``i * stride`` further."""
    return (field.size - 1) / 2 - field.offset


def num_covering(field: ReceptiveField) -> int:
    """Largest number of cells, along one axis, that cover the same pixel."""
    return math.ceil(field.size / field.stride)
