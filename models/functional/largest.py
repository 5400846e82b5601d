"""The largest values at each place of maps: sorted lists that are merged, and ranks in two of them.

Shapes: *S = places, the same in all maps of a list. A list descends at every place.
"""

from collections.abc import Sequence
from functools import lru_cache, reduce
from itertools import zip_longest

import torch
from jaxtyping import Float
from torch import Tensor

Exchange = tuple[int, int]
"""Places in a list of two maps, the first of which gets the larger values."""


def merged(
    one: Sequence[Float[Tensor, "*S"]], other: Sequence[Float[Tensor, "*S"]], num: int
) -> list[Float[Tensor, "*S"]]:
    """The ``num`` largest values of two lists at each place, in descending order.

    Args:
        one: A list, not empty.
        other: Another.
        num: How many values are kept, at most.

    References:
        Batcher, 1968, "Sorting networks and their applications" (bitonic sorter).
        https://doi.org/10.1145/1468075.1468121
    """
    kept = min(len(one) + len(other), num)
    first, last = max(kept - len(other), 0), min(kept, len(one))
    rising = other[: kept - first][::-1]
    larger = _larger(one[first:last], rising[: last - first])
    values = [*one[:first], *larger, *rising[last - first :]]
    layers, order = _network(tuple(range(kept)))
    for layer in layers:
        left, right = ([values[pair[side]] for pair in layer] for side in (0, 1))
        higher = _larger(left, right)
        lower = _smaller(left, right)
        for (into, rest), high, low in zip(layer, higher, lower, strict=True):
            values[into], values[rest] = high, low
    return [values[place] for place in order]


def ranked(
    one: Sequence[Float[Tensor, "*S"]], other: Sequence[Float[Tensor, "*S"]], rank: int
) -> Float[Tensor, "*S"]:
    """The value of a rank among those of two lists at each place; rank 1 is the largest.

    Of all ways to take ``rank`` values from the heads of both lists, the best has the largest least
    value, which is the one.

    Args:
        one: A list.
        other: Another.
        rank: From 1 to the number of values in both.
    """
    ends = [other[rank - 1]] if rank <= len(other) else []
    ends += [one[rank - 1]] if rank <= len(one) else []
    fewest, most = max(rank - len(other), 1), min(rank - 1, len(one))
    rising = other[rank - most - 1 : rank - fewest][::-1]
    least = _smaller(one[fewest - 1 : most], rising)
    return reduce(torch.maximum, [*ends, *least])


@lru_cache(maxsize=256)
def _network(places: tuple[int, ...]) -> tuple[list[list[Exchange]], tuple[int, ...]]:
    """Exchanges, layer by layer, that sort values which first descend and then ascend.

    As if infinite values filled the list up to a power of two.

    Args:
        places: Where the values are, in their order.

    Returns:
        The layers, and where the sorted values are then.
    """
    if len(places) < 2:
        return [], places
    half = 1 << ((len(places) - 1).bit_length() - 1)
    rest = len(places) - half
    layer = list(zip(places[:rest], places[half:], strict=True))
    higher, first = _network(places[:rest])
    lower, last = _network(places[half:] + places[rest:half])
    none: list[Exchange] = []
    deeper = [one + other for one, other in zip_longest(higher, lower, fillvalue=none)]
    return [layer, *deeper], first + last


def _larger(one: Sequence[Tensor], other: Sequence[Tensor]) -> Sequence[Tensor]:
    """The larger of each pair of maps, in one call: there are many of them, and they are small."""
    if not one:
        return []
    if torch.compiler.is_exporting():  # no engine has it
        return [torch.maximum(*pair) for pair in zip(one, other, strict=True)]
    return torch._foreach_maximum(list(one), list(other))  # noqa: SLF001 - has no public name


def _smaller(one: Sequence[Tensor], other: Sequence[Tensor]) -> Sequence[Tensor]:
    if not one:
        return []
    if torch.compiler.is_exporting():  # no engine has it
        return [torch.minimum(*pair) for pair in zip(one, other, strict=True)]
    return torch._foreach_minimum(list(one), list(other))  # noqa: SLF001 - has no public name
