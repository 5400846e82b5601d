"""Histogram of each pixel on its own: what a model of images must beat.

Shapes: B = batch, c = 3 (mean frames or colours), H W = image, K = gray levels.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.errors import InvalidInputError


class PixelHistogram:
    """Share of each gray level at each place, as if pixels knew nothing of each other.

    Args:
        num_levels: Gray levels K.
    """

    def __init__(self, num_levels: int) -> None:
        self._num_levels = num_levels
        self._counts: Tensor | None = None

    def update(self, levels: Int[Tensor, "B 3 H W"]) -> None:
        """Count the levels of more images, all of one size."""
        counts = torch.stack([(levels == k).sum(dim=0) for k in range(self._num_levels)])
        self._counts = counts if self._counts is None else self._counts + counts

    def nats(self, levels: Int[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """Surprise ``-log p`` of each pixel, every level counted once more than it was seen.

        Raises:
            InvalidInputError: If the images differ in size from those that were counted.
        """
        assert self._counts is not None
        if self._counts.shape[1:] != levels.shape[1:]:
            raise InvalidInputError(
                f"Images must have the size of the training images, {tuple(self._counts.shape[2:])}"
                f", got {tuple(levels.shape[2:])}. Set image_size in the recipe."
            )
        counts = self._counts.to(levels.device) + 1
        share = counts.double() / counts.sum(dim=0)
        return -share.gather(0, levels).log()
