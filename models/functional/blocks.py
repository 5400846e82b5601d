"""Blocks of an image in raster order, and the window above and to the left that each follows.

Shapes: B = batch, C = channels, H W = image, S = side of a window, b = side of a block,
T = blocks of an image.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor
from torch.nn import functional

from models.functional.holes import movement


def random_places(
    images: Float[Tensor, "B C H W"], block: int, candidates: int, draw: Generator
) -> Int[Tensor, "B 2"]:
    """Row and column of one block of each image; of ``candidates``, the one with most movement.

    Args:
        images: No side shorter than ``block``.
        block: Side of a block, in pixels.
        candidates: Places drawn for each image; without effect on still images.
        draw: Source of randomness.
    """
    height, width = images.shape[-2:]
    tops = torch.randint(height - block + 1, (len(images), candidates), generator=draw)
    lefts = torch.randint(width - block + 1, (len(images), candidates), generator=draw)
    best = torch.zeros(len(images), dtype=torch.long)
    index = torch.arange(len(images))
    if images.shape[1] == 6:
        moving = functional.avg_pool2d(movement(images)[:, None].cpu(), block, stride=1)[:, 0]
        best = moving[index[:, None], tops, lefts].argmax(dim=1)
    return torch.stack([tops[index, best], lefts[index, best]], dim=1)


def tiling(height: int, width: int, block: int, most: int) -> Int[Tensor, "T 2"]:
    """Row and column of the blocks that tile an image, or of ``most`` of them, evenly spread.

    The last row and column of blocks may reach beyond the image.
    """
    grid = torch.cartesian_prod(torch.arange(0, height, block), torch.arange(0, width, block))
    chosen = torch.linspace(0, len(grid) - 1, min(most, len(grid))).round().long()
    return grid[chosen]


def windows(
    images: Float[Tensor, "B C H W"], places: Int[Tensor, "B 2"], side: int, block: int
) -> Float[Tensor, "B C S S"]:
    """Square of each image whose lower right corner is a block; 0 beyond the image.

    Args:
        images: At least one.
        places: Row and column of each image's block.
        side: Of a window, in pixels.
        block: Side of a block, in pixels, <= ``side``.
    """
    before = side - block
    padded = functional.pad(images, (before, block, before, block))
    corners = places.tolist()
    return torch.stack(
        [
            image[:, top : top + side, left : left + side]
            for image, (top, left) in zip(padded, corners, strict=True)
        ]
    )


def inside(
    places: Int[Tensor, "B 2"], side: int, block: int, height: int, width: int
) -> Bool[Tensor, "B S S"]:
    """Which pixels of each window lie in the image."""
    steps = torch.arange(block - side, block)
    rows, columns = places[:, :1] + steps, places[:, 1:] + steps
    rows, columns = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    return rows[:, :, None] & columns[:, None, :]


def hide(
    images: Float[Tensor, "B C S S"], known: Bool[Tensor, "B S S"], fill: float
) -> Float[Tensor, "B C S S"]:
    """Windows in which all but the known pixels have the mean of these; ``fill`` if none is."""
    seen = known[:, None]
    num = seen.sum(dim=(2, 3), keepdim=True)
    mean = torch.where(seen, images, 0).sum(dim=(2, 3), keepdim=True) / num.clamp(min=1)
    return torch.where(seen, images, torch.where(num > 0, mean, fill))
