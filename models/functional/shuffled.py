"""Training images in memory, in shuffled batches: a model must not depend on how they came.

Shapes: N = images, B = batch, C = channels, H W = image.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import count

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from models.errors import TrainingError

MEMORY = 4 << 30
"""Bytes that the images may take. Those that come from 8 bits are kept in 8 bits, without loss."""

Batch = tuple[Int[Tensor, "B"], Float[Tensor, "B C H W"]]
"""Ids of some images, and these images as float32."""


class Shuffled:
    """All images of some batches, with an id each, in batches of one size and an order of its own.

    Args:
        batches: Images, read once.
        seed: Of the order of every epoch.

    Attributes:
        shape: Number, channels, height and width of the images (N, C, H, W).

    Raises:
        TrainingError: If there are none, they differ in size, one is not finite, or they take more
            than ``MEMORY``.

    Example:
        >>> images = Shuffled([torch.zeros(3, 1, 2, 2), torch.ones(2, 1, 2, 2)], seed=0)
        >>> sorted(torch.cat([ids for ids, _ in images.epoch(2)]).tolist())
        [0, 1, 2, 3, 4]
    """

    def __init__(self, batches: Iterable[Float[Tensor, "_ C H W"]], *, seed: int) -> None:
        parts: list[Tensor] = []
        for batch in batches:
            part = _check(batch.detach().float().cpu(), parts)
            packed = _packed(part) if not parts or parts[0].dtype == torch.uint8 else None
            if packed is None and parts and parts[0].dtype == torch.uint8:
                parts = [_float(earlier) for earlier in parts]
            parts.append(part if packed is None else packed)
            _check_memory(parts)
        if not sum(map(len, parts)):
            raise TrainingError("Training needs images, got none. Add some to train/good.")
        self._kept = torch.cat(parts)
        self.shape = self._kept.shape
        self._draw = Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, ids: Int[Tensor, "B"] | slice) -> Float[Tensor, "B C H W"]:
        """Images by the places in which they came."""
        return _float(self._kept[ids])

    def subset(self, ids: Int[Tensor, "B"], *, seed: int) -> "Shuffled":
        """Some of the images, in an order of their own."""
        part = object.__new__(Shuffled)
        part._kept = self._kept[ids]
        part.shape = part._kept.shape
        part._draw = Generator().manual_seed(seed)
        return part

    def num_batches(self, batch_size: int, *, smallest: int = 1) -> int:
        """Batches of one epoch that have ``smallest`` images at least."""
        full, rest = divmod(len(self), batch_size)
        return full + (rest >= smallest)

    def epoch(self, batch_size: int, *, smallest: int = 1) -> Iterator[Batch]:
        """Ids and images of every batch, in a new order; the last batch may be smaller.

        Args:
            batch_size: Images of a batch.
            smallest: Of the last one, which is left out otherwise: 2 where batch norm needs them.
        """
        order = torch.randperm(len(self), generator=self._draw)
        for ids in torch.split(order, batch_size):
            if len(ids) >= smallest:
                yield ids, self[ids]

    def epochs(
        self, batch_size: int, num: int | None = None, *, smallest: int = 1
    ) -> Iterator[tuple[int, Batch]]:
        """Batches of ``num`` epochs, each with the number of its epoch; without end if None."""
        for epoch in count() if num is None else range(num):
            for batch in self.epoch(batch_size, smallest=smallest):
                yield epoch, batch

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Ids and images of every batch, in the order they came."""
        for ids in torch.split(torch.arange(len(self)), batch_size):
            yield ids, self[ids]


def _packed(images: Tensor) -> Tensor | None:
    """Images as bytes, if that is what they come from."""
    packed = (images * 255).round().clamp(0, 255).byte()
    return packed if torch.equal(_float(packed), images) else None


def _float(images: Tensor) -> Tensor:
    return images.float() / 255 if images.dtype == torch.uint8 else images


def _check(part: Tensor, earlier: list[Tensor]) -> Tensor:
    if earlier and part.shape[1:] != earlier[0].shape[1:]:
        raise TrainingError(
            f"Images must be of one size, got {tuple(part.shape[1:])} after "
            f"{tuple(earlier[0].shape[1:])}. Set image_size in the recipe."
        )
    if not part.isfinite().all():
        raise TrainingError("Images must be finite, got NaN or infinity. Check the data.")
    return part


def _check_memory(parts: list[Tensor]) -> None:
    if sum(part.nbytes for part in parts) > MEMORY:
        num = math.floor(MEMORY / max(parts[0][0].nbytes, 1)) if len(parts[0]) else 0
        raise TrainingError(
            f"This model keeps its training images in memory, {MEMORY >> 30} GiB at most, which is "
            f"{num} of these, and they are more. Set a smaller image_size in the recipe, or train "
            "on fewer images."
        )
