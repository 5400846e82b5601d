"""Batches in parts that a processor's cache holds, in memory that was used before.

Shapes: B = batch, C = channels, H W = image.
"""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

PART_PIXELS = 1_400_000
"""Pixels of one frame each that are worked on at once: what a processor's cache holds."""
KEPT_BYTES = 2**25 - 2**16
"""Freed memory of which the process keeps about twice as much for the next batch. glibc gives back
anything larger than the largest block that it ever took back, of 32 MiB at most; to be given fresh
pages for every batch costs up to half of the time."""


def parts(images: Float[Tensor, "B C H W"]) -> tuple[Float[Tensor, "_ C H W"], ...]:
    """Parts of a batch to work on one after the other; on a GPU it stays whole.

    Parts of windows that are a view of a clip are such views.
    """
    if images.device.type != "cpu" or not len(images):
        return (images,)
    _keep_memory()
    return torch.split(images, max(PART_PIXELS // max(images[0, 0].numel(), 1), 1))


@lru_cache(maxsize=1)
def _keep_memory() -> None:
    torch.empty(KEPT_BYTES, dtype=torch.uint8)
