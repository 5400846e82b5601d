"""Means over the square around each place of a map, and over its blocks, in few passes over it.

Shapes: B = batch, C = channels, h w = map, y x = blocks.
"""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

MOST = 16
"""Blocks whose columns a program adds up by one product of matrices."""


def window_mean(values: Float[Tensor, "B C h w"], side: int) -> Float[Tensor, "B C h w"]:
    """Mean over those of the ``side`` x ``side`` places around each that lie inside the map.

    The same as average pooling with stride 1 and ``count_include_pad=False``, but with about
    ``2 log2(side)`` additions for each place instead of ``side ** 2``: sums of 2, 4, 8, ...
    neighbours add up to those of ``side``.

    Args:
        values: Maps.
        side: Odd, >= 1.
    """
    if side == 1:
        return values
    sums = window_sum(values, side)
    return sums.div_(num_inside(values.shape[-2], values.shape[-1], side).to(sums))


def window_sum(values: Float[Tensor, "B C h w"], side: int) -> Float[Tensor, "B C h w"]:
    """Sum over those of the ``side`` x ``side`` places around each that lie inside the map."""
    return _sum(_sum(functional.pad(values, [side // 2] * 4), side, 2), side, 3)


def num_inside(height: int, width: int, side: int) -> Float[Tensor, "h w"]:
    """Number of the ``side`` x ``side`` places around each that lie inside the map."""
    return _inside(height, side)[:, None] * _inside(width, side)


@lru_cache(maxsize=64)
def _inside(length: int, side: int) -> Float[Tensor, "length"]:
    """Number of the ``side`` places around each of ``length`` that are among them."""
    at = torch.arange(length)
    last = (at + side // 2).clamp(max=length - 1)
    return (last - (at - side // 2).clamp(min=0) + 1).float()


def block_mean(values: Float[Tensor, "B C h w"], side: int) -> Float[Tensor, "B C y x"]:
    """Mean over blocks of ``side`` x ``side`` places; those at the end may be cut off by the edge.

    The same as average pooling with ``ceil_mode=True``, but rows are added as a whole. A program's
    engine multiplies by a matrix faster than it adds columns.

    Args:
        values: Maps; a view such as overlapping windows of frames is not copied.
        side: >= 1.
    """
    height, width = values.shape[-2:]
    if height % side or width % side:
        return functional.avg_pool2d(values, side, ceil_mode=True)
    rows = values.view(*values.shape[:2], height // side, side, width)
    if torch.compiler.is_exporting():
        blocks, sums = width // side, rows.sum(dim=3)
        num = max(each for each in range(1, MOST + 1) if blocks % each == 0)
        parts = sums.view(*sums.shape[:3], blocks // num, num * side)
        pooled: Tensor = (parts @ _pooling(num, side).to(values)).flatten(3)
        return pooled
    total = _added(rows, 3)
    columns = total.view(*total.shape[:3], width // side, side)
    found: Tensor = _added(columns, 4).div_(side**2)
    return found


@lru_cache(maxsize=64)
def _pooling(num: int, side: int) -> Float[Tensor, "places num"]:
    """Matrix that brings sums of ``side`` rows to means over so many neighbouring blocks."""
    return torch.eye(num).repeat_interleave(side, dim=0) / side**2


def _added(values: Tensor, dim: int) -> Tensor:
    """Sum over a short dimension, one slice after the other, which beats a reduction."""
    first, *others = values.unbind(dim)
    total = first + others[0] if others else first.clone()
    for other in others[1:]:
        total += other
    return total


def _sum(values: Tensor, side: int, dim: int) -> Tensor:
    """Sums of ``side`` neighbours along a dimension."""
    num = values.shape[dim] - side + 1
    total, start = None, 0
    of_power, power = values, 1
    while True:
        if side & power:
            part = of_power.narrow(dim, start, num)
            total = part if total is None else total + part
            start += power
        if 2 * power > side:
            assert total is not None
            return total
        left = of_power.shape[dim] - power
        of_power = of_power.narrow(dim, 0, left) + of_power.narrow(dim, power, left)
        power *= 2
