"""Receptive fields: which pixels a cell of a feature map sees, and back from cells to pixels.

Shapes: B = batch, H W = image, h w = feature map.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from models.functional.largest import merged, ranked


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
    rows = _covering(scores.shape[1], height, field)
    columns = _covering(scores.shape[2], width, field)
    lists = _along_columns(scores, columns, num_votes)
    chosen = _along_rows(lists, rows, columns, num_votes)
    to_rows, to_columns = (axis.group_of.to(scores.device) for axis in (rows, columns))
    return chosen.index_select(2, to_columns).index_select(1, to_rows)


class _Run(NamedTuple):
    """Groups of pixels that as many cells cover, each group one cell further than the last one.

    Attributes:
        size: Neighbouring places that are looked at for each group.
        start: The first of them, for the first group.
        groups: How many groups.
    """

    size: int
    start: int
    groups: int


class _Covering(NamedTuple):
    """Along one axis: which cells cover each pixel.

    Neighbouring pixels that the same cells cover form a group, so that work is done once for all.

    Attributes:
        group_of: Group of each pixel.
        num: Cells that cover the pixels of each group; numbers, as they decide what is computed.
        sides: Places that are added before and after the cells, and where nothing counts.
        runs: All groups in their order. Those that reach an edge look beyond it, so that there are
            few different sizes.
    """

    group_of: Tensor
    num: list[int]
    sides: tuple[int, int]
    runs: list[_Run]


def _along_columns(
    scores: Float[Tensor, "B y x"], columns: _Covering, num: int
) -> list[Float[Tensor, "B y X"]]:
    """The ``num`` largest values at most, in descending order, of the columns of each group."""
    windows = _Windows([functional.pad(scores, columns.sides, value=-torch.inf)], 2, num)
    of_runs = [_part(windows.of_size(run.size), 2, run.start, run.groups) for run in columns.runs]
    longest = max(of_runs, key=len)
    none = [torch.full_like(each[0], -torch.inf) for each in of_runs]
    return [
        torch.cat(
            [each[n] if n < len(each) else fill for each, fill in zip(of_runs, none, strict=True)],
            dim=2,
        )
        for n in range(len(longest))
    ]


def _along_rows(
    lists: Sequence[Float[Tensor, "B y X"]], rows: _Covering, columns: _Covering, num: int
) -> Float[Tensor, "B Y X"]:
    """The value at rank ``num``, or the last one of fewer, of the rows of each group."""
    sides = (0, 0, *rows.sides)
    windows = _Windows([functional.pad(each, sides, value=-torch.inf) for each in lists], 1, num)
    ranks = [[min(max(one * other, 1), num) for other in columns.num] for one in rows.num]
    found, first = [], 0
    for run in rows.runs:
        halves = windows.halves(run.size, run.start, run.groups)
        rank = ranks[first : (first := first + run.groups)]
        common, *others = sorted({each for row in rank for each in row}, reverse=True)
        values = _at_rank(halves, common)
        for other in others:
            here = torch.tensor([[each == other for each in row] for row in rank])
            values = torch.where(here.to(values.device), _at_rank(halves, other), values)
        found.append(values)
    return torch.cat(found, dim=1)


def _at_rank(halves: Sequence[Sequence[Tensor]], rank: int) -> Float[Tensor, "B y X"]:
    return halves[0][rank - 1] if len(halves) == 1 else ranked(halves[0], halves[1], rank)


def _part(maps: Sequence[Tensor], axis: int, start: int, length: int) -> list[Tensor]:
    return [each.narrow(axis, start, length) for each in maps]


class _Windows:
    """Largest values in all windows of neighbouring places along an axis, in descending order.

    Windows of 2, 4, 8, ... places are made of the two halves, others of those.
    """

    def __init__(self, places: Sequence[Float[Tensor, "B y x"]], axis: int, num: int) -> None:
        self._of_size, self._axis, self._num = {1: list(places)}, axis, num
        self._length = places[0].shape[axis]

    def of_size(self, size: int) -> list[Float[Tensor, "B y x"]]:
        """Of each window, by its first place."""
        if size not in self._of_size:
            one, other = self.halves(size, 0, self._length - size + 1)
            self._of_size[size] = merged(one, other, self._num)
        return self._of_size[size]

    def halves(self, size: int, start: int, windows: int) -> list[list[Float[Tensor, "B y x"]]]:
        """Of two neighbouring parts of some windows, or of the one place that each of them is."""
        if size == 1:
            return [_part(self.of_size(1), self._axis, start, windows)]
        second = 1 << ((size - 1).bit_length() - 1)
        one, other = self.of_size(size - second), self.of_size(second)
        axis = self._axis
        return [
            _part(one, axis, start, windows),
            _part(other, axis, start + size - second, windows),
        ]


def _covers(cells: int, pixels: int, field: ReceptiveField) -> Bool[Tensor, "pixels cells"]:
    first = torch.arange(cells) * field.stride - field.offset
    at = torch.arange(pixels)[:, None]
    return (first <= at) & (at < first + field.size)


@lru_cache(maxsize=64)
def _covering(cells: int, pixels: int, field: ReceptiveField) -> _Covering:
    """What ``_Covering`` says, for ``pixels`` of an axis that fields of ``cells`` cover."""
    distinct, group_of = torch.unique(_covers(cells, pixels, field), dim=0, return_inverse=True)
    groups = [_span(row.nonzero()[:, 0].tolist()) for row in distinct]
    widest = max(*map(len, groups), 1)
    windows = [_window(group, widest, cells) for group in groups]
    order = sorted(range(len(groups)), key=lambda number: windows[number])
    before = max(0, *(-start for _, start in windows))
    after = max(0, *(start + size - cells for size, start in windows))
    runs: list[_Run] = []
    for size, start in (windows[number] for number in order):
        last = runs[-1] if runs else _Run(0, 0, 0)
        if (size, start + before) == (last.size, last.start + last.groups):
            runs[-1] = last._replace(groups=last.groups + 1)
        else:
            runs.append(_Run(size, start + before, 1))
    place_of = torch.tensor(order).argsort()
    num = [len(groups[number]) for number in order]
    return _Covering(place_of[group_of], num, (before, after), runs)


def _span(covering: Sequence[int]) -> range:
    return range(covering[0], covering[-1] + 1) if covering else range(0)


def _window(group: range, widest: int, cells: int) -> tuple[int, int]:
    """Number and first of the places that stand for a group; at an edge as many as anywhere."""
    if group.stop == cells:
        return widest, group.start
    return (len(group), group.start) if group.start > 0 else (widest, group.stop - widest)


def centre(field: ReceptiveField) -> float:
    """Pixel coordinate of the middle of cell 0's square; cell i's lies ``i * stride`` further."""
    return (field.size - 1) / 2 - field.offset


def num_covering(field: ReceptiveField) -> int:
    """Largest number of cells, along one axis, that cover the same pixel."""
    return math.ceil(field.size / field.stride)
