"""Images in memory, dealt again: a model that trains by steps must not depend on how they came.

Shapes: N = images, B = batch, C = channels, H W = image.
"""

import math
from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from models.errors import TrainingError

MEMORY = 4 << 30
"""Bytes that the images may take as float32."""


class Shuffled:
    """All images of some batches, with an id each, in batches of one size and an order of its own.

    Args:
        batches: Images, read once.
        seed: Of the order of every epoch.

    Attributes:
        images: All of them in the order they came: an image's place is its id. Shape (N, C, H, W).

    Raises:
        TrainingError: If there are none, they differ in size, one is not finite, or they take more
            than ``MEMORY``.

    Example:
        >>> dealt = Shuffled([torch.zeros(3, 1, 2, 2), torch.ones(2, 1, 2, 2)], seed=0)
        >>> sorted(torch.cat([ids for ids, _ in dealt.epoch(2)]).tolist())
        [0, 1, 2, 3, 4]
    """

    def __init__(self, batches: Iterable[Float[Tensor, "_ C H W"]], *, seed: int) -> None:
        parts: list[Tensor] = []
        num_bytes = 0
        for batch in batches:
            part = batch.detach().float().cpu()
            num_bytes += part.nelement() * part.element_size()
            _check(part, parts, num_bytes)
            parts.append(part)
        if not sum(len(part) for part in parts):
            raise TrainingError("Training needs images, got none. Add some to train/good.")
        self.images = torch.cat(parts)
        self._draw = Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.images)

    def num_batches(self, batch_size: int) -> int:
        """Batches of one epoch."""
        return math.ceil(len(self.images) / batch_size)

    def epoch(self, batch_size: int) -> Iterator[tuple[Int[Tensor, "B"], Float[Tensor, "B C H W"]]]:
        """Ids and images of every batch, in a new order; the last batch may be smaller."""
        order = torch.randperm(len(self.images), generator=self._draw)
        for ids in torch.split(order, batch_size):
            yield ids, self.images[ids]

    def in_order(
        self, batch_size: int
    ) -> Iterator[tuple[Int[Tensor, "B"], Float[Tensor, "B C H W"]]]:
        """Ids and images of every batch, in the order they came."""
        for ids in torch.split(torch.arange(len(self.images)), batch_size):
            yield ids, self.images[ids]


def _check(part: Tensor, earlier: list[Tensor], num_bytes: int) -> None:
    if earlier and part.shape[1:] != earlier[0].shape[1:]:
        raise TrainingError(
            f"Images must be of one size, got {tuple(part.shape[1:])} after "
            f"{tuple(earlier[0].shape[1:])}. Set image_size in the recipe."
        )
    if not part.isfinite().all():
        raise TrainingError("Images must be finite, got NaN or infinity. Check the data.")
    if num_bytes > MEMORY:
        raise TrainingError(
            f"This model keeps its training images in memory, {MEMORY >> 30} GiB at most, and they "
            "are more. Set a smaller image_size in the recipe, or train on fewer images."
        )
