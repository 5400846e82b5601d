"""How a pretext task goes through its images: epoch by epoch, at a falling learning rate."""

import math
from collections.abc import Iterable, Iterator, Sized

from torch import Tensor


def epochs(batches: Iterable[Tensor], num_epochs: int) -> Iterator[tuple[int, Tensor]]:
    """Every batch of every epoch, with the number of the epoch."""
    for epoch in range(num_epochs):
        for images in batches:
            yield epoch, images


def num_steps(batches: Iterable[Tensor], num_epochs: int) -> int:
    """Batches of all epochs; 0 if nobody knows."""
    return num_epochs * (len(batches) if isinstance(batches, Sized) else 0)


def cosine(step: int, total: int) -> float:
    """Share of the learning rate: from 1 to 0 along a half cosine; 1 if ``total`` is not known."""
    return (1 + math.cos(math.pi * min(step / total, 1))) / 2 if total else 1.0
