"""Square patches of images, and from scores of patches back to pixels.

Shapes: B = batch, C = channels, H W = image, P = side of a patch, r c = rows and
columns of patches.
"""

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from models.errors import InvalidInputError


def starts(length: int, patch: int, stride: int) -> list[int]:
    """Where patches begin along a side: every ``stride`` pixels, and one that ends with the side.

    Raises:
        InvalidInputError: If the side is shorter than a patch.

    Example:
        >>> starts(30, 12, 8)
        [0, 8, 16, 18]
    """
    if length < patch:
        raise InvalidInputError(
            f"Images must be at least as large as a patch, {patch} pixels, got a side of {length}. "
            "Set image_size in the recipe, or a smaller patch."
        )
    found = list(range(0, length - patch + 1, stride))
    return found if found[-1] == length - patch else [*found, length - patch]


def cut(images: Float[Tensor, "B C H W"], patch: int, stride: int) -> Float[Tensor, "B r c C P P"]:
    """All patches of each image."""
    rows, columns = (starts(side, patch, stride) for side in images.shape[-2:])
    bands = [images[:, :, top : top + patch] for top in rows]
    return torch.stack(
        [
            torch.stack([band[..., left : left + patch] for left in columns], dim=1)
            for band in bands
        ],
        dim=1,
    )


def crops(
    images: Float[Tensor, "B C H W"], patch: int, draw: Generator
) -> Float[Tensor, "B C P P"]:
    """One patch of each image, at a place of its own."""
    height, width = images.shape[-2:]
    starts(min(height, width), patch, 1)
    tops = torch.randint(height - patch + 1, (len(images), 1, 1), generator=draw)
    lefts = torch.randint(width - patch + 1, (len(images), 1, 1), generator=draw)
    side, index = torch.arange(patch), torch.arange(len(images))[:, None, None]
    taken = images[index, :, tops + side[:, None], lefts + side]
    return taken.permute(0, 3, 1, 2).contiguous()


def patch_mean(
    scores: Float[Tensor, "B r c"], height: int, width: int, patch: int, stride: int
) -> Float[Tensor, "B H W"]:
    """At each pixel, the mean score of the patches that cover it."""
    rows, columns = (_covers(side, patch, stride).to(scores) for side in (height, width))
    number = rows.sum(dim=1)[:, None] * columns.sum(dim=1)
    return rows @ scores @ columns.mT / number


def _covers(side: int, patch: int, stride: int) -> Bool[Tensor, "pixels patches"]:
    first = torch.tensor(starts(side, patch, stride))
    at = torch.arange(side)[:, None]
    return (first <= at) & (at < first + patch)
