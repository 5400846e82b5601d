"""Tiles: squares cut from images on a 3 x 3 grid, made alike in brightness, and laid out again.

Shapes: B = batch, C = channels, H W = image, T = side of a tile, N = 9 tiles, row by row, S = side
of the laid-out square.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

GRID = 3
FLOOR = 0.02
"""Added to a tile's deviation, so that the noise of a blank tile stays small."""


def cut_tiles(
    images: Float[Tensor, "B C H W"],
    tops: Int[Tensor, "B N C"],
    lefts: Int[Tensor, "B N C"],
    side: int,
) -> Float[Tensor, "B N C T T"]:
    """Cut squares; each channel of a tile has a place of its own."""
    windows = images.unfold(2, side, 1).unfold(3, side, 1)
    image = torch.arange(len(images), device=images.device)[:, None, None]
    channel = torch.arange(images.shape[1], device=images.device)
    tiles: Tensor = windows[image, channel, tops.to(images.device), lefts.to(images.device)]
    return tiles


def enlarged(tiles: Float[Tensor, "B N C _ _"], side: int) -> Float[Tensor, "B N C T T"]:
    """Resample every tile by itself to ``side`` pixels.

    Resampling the image they are cut from would blur each place in a way of its own, by which even
    tiles of pure noise can be distinguished.
    """
    if tiles.shape[-1] == side:
        return tiles
    made = functional.interpolate(
        tiles.flatten(0, 1), size=(side, side), mode="bilinear", align_corners=False
    )
    return made.reshape(*tiles.shape[:3], side, side)


def alike(
    tiles: Float[Tensor, "B N C T T"], images: Float[Tensor, "B C H W"]
) -> Float[Tensor, "B N C T T"]:
    """Give every tile the mean and the deviation of its whole image.

    So a tile's brightness and contrast do not tell its place, and yet the encoder sees the range
    of values that it will see in whole images. Colours are treated one by one; the frames of a clip
    together, since their differences are movement.
    """
    mean, deviation = _moments(tiles)
    image_mean, image_deviation = (moment[:, None] for moment in _moments(images))
    return (tiles - mean) / (deviation + FLOOR) * image_deviation + image_mean


def laid_out(tiles: Float[Tensor, "B N C T T"], cell: int, fill: float) -> Float[Tensor, "B C S S"]:
    """Tiles in the middle of their cells of ``cell`` pixels, row by row, with gaps of ``fill``."""
    before = (cell - tiles.shape[-1]) // 2
    after = cell - tiles.shape[-1] - before
    cells = functional.pad(tiles, (before, after, before, after), value=fill)
    rows = [torch.cat(list(row.unbind(1)), dim=3) for row in torch.split(cells, GRID, dim=1)]
    return torch.cat(rows, dim=2)


def _moments(images: Tensor) -> tuple[Tensor, Tensor]:
    # Many times faster on a CPU than ``std``, which updates its sums pixel by pixel.
    dims = (-2, -1) if images.shape[-3] == 3 else (-3, -2, -1)
    mean = images.mean(dim=dims, keepdim=True)
    return mean, (images - mean).square().mean(dim=dims, keepdim=True).sqrt()
