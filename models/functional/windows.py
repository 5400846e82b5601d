"""Means over the square around each place of a map, in few passes over it.

Shapes: h w = map; any dimensions before.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def window_mean(values: Float[Tensor, "B C h w"], side: int) -> Float[Tensor, "B C h w"]:
    """Mean over those of the ``side`` x ``side`` places around each that lie inside the map.

    The same as average pooling with stride 1 and ``count_include_pad=False``, but with about
    ``2 log2(side)`` additions for each place instead of ``side ** 2``: sums of 2, 4, 8, ...
    neighbours add up to those of ``side``.

    Args:
        values: Maps.
        side: Odd, >= 1.
    """
    sums = functional.pad(values, [side // 2] * 4)
    for dim in (2, 3):
        inside = functional.pad(values.new_ones(values.shape[dim]), [side // 2] * 2)
        shape = [-1 if dim == axis else 1 for axis in range(4)]
        sums = _sum(sums, side, dim) / _sum(inside, side, 0).view(shape)
    return sums


def _sum(values: Tensor, side: int, dim: int) -> Tensor:
    """Sums of ``side`` neighbours along a dimension."""
    num = values.shape[dim] - side + 1
    total, start = torch.zeros(()).to(values), 0
    of_power, power = values, 1
    while True:
        if side & power:
            total = total + of_power.narrow(dim, start, num)
            start += power
        if 2 * power > side:
            return total
        left = of_power.shape[dim] - power
        of_power = of_power.narrow(dim, 0, left) + of_power.narrow(dim, power, left)
        power *= 2
