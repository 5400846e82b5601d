"""Crops and holes: what an inpainting task cuts from an image and what it hides of that.

Shapes: B = batch, C = channels, H W = image, S T = rows and columns of a crop.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor
from torch.nn import functional

SHAPES = ("centre", "block", "blocks", "region")
"""Of holes: a rectangle in the middle or at a random place, several small ones, any outline."""
NUM_BLOCKS = 4
WAVES = 8
"""Cells along each side of the noise whose hills are the random regions."""


def movement(images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B H W"]:
    """Change from the oldest to the newest frame of a clip at each pixel; 0 for still images."""
    if images.shape[1] != 6:
        return torch.zeros_like(images[:, 0])
    return (images[:, -1] - images[:, 0]).abs()


def crops(
    images: Float[Tensor, "B C H W"], side: int, candidates: int, draw: Generator
) -> Float[Tensor, "B C S T"]:
    """One crop of each image: of ``candidates`` random places, the one with most movement.

    Args:
        images: At least one; smaller ones are not cropped along their short axes.
        side: Rows and columns of a crop, in pixels.
        candidates: Places drawn for each image.
        draw: Source of randomness.
    """
    return cut_at(images, crop_places(images, side, candidates, draw), side)


def crop_places(
    images: Float[Tensor, "B C H W"], side: int, candidates: int, draw: Generator
) -> Int[Tensor, "B 2"]:
    """First row and column of the crop that ``crops`` takes of each image."""
    height, width = images.shape[-2:]
    rows, columns = min(side, height), min(side, width)
    tops = torch.randint(height - rows + 1, (len(images), candidates), generator=draw)
    lefts = torch.randint(width - columns + 1, (len(images), candidates), generator=draw)
    moving = functional.pad(movement(images), (1, 0, 1, 0)).cumsum(dim=1).cumsum(dim=2).cpu()
    index = torch.arange(len(images))[:, None]
    inside = moving[index, tops + rows, lefts + columns] + moving[index, tops, lefts]
    inside -= moving[index, tops, lefts + columns] + moving[index, tops + rows, lefts]
    best = inside.argmax(dim=1, keepdim=True)
    return torch.cat([tops.gather(1, best), lefts.gather(1, best)], dim=1)


def cut_at(
    images: Float[Tensor, "B C H W"], places: Int[Tensor, "B 2"], side: int
) -> Float[Tensor, "B C S T"]:
    """The crop of each image that begins at a row and a column."""
    cut = zip(images, places.tolist(), strict=True)
    return torch.stack([image[:, y : y + side, x : x + side] for image, (y, x) in cut])


def holes(
    shape: str, num: int, height: int, width: int, share: float, draw: Generator
) -> Bool[Tensor, "B H W"]:
    """Holes of one of ``SHAPES``, each of about ``share`` squared of its image's area.

    Returns:
        Masks, True in the hole. Shape (num, height, width).
    """
    if shape == "centre":
        return centre_holes(num, height, width, share)
    make = {"block": random_holes, "blocks": random_blocks, "region": random_regions}[shape]
    return make(num, height, width, share, draw)


def random_holes(
    num: int, height: int, width: int, share: float, draw: Generator
) -> Bool[Tensor, "B H W"]:
    """One rectangle for each of ``num`` images, of ``share`` of its sides, at a random place.

    A margin of an eighth of each side is never hidden, so that there is context on every side.

    Returns:
        Masks, True in the hole. Shape (num, height, width).
    """
    rows, columns = max(int(share * height), 1), max(int(share * width), 1)
    edge_y, edge_x = height // 8, width // 8
    tops = edge_y + torch.randint(max(height - rows - 2 * edge_y, 0) + 1, (num,), generator=draw)
    lefts = edge_x + torch.randint(max(width - columns - 2 * edge_x, 0) + 1, (num,), generator=draw)
    y, x = torch.arange(height)[None, :, None], torch.arange(width)[None, None, :]
    top, left = tops[:, None, None], lefts[:, None, None]
    return (y >= top) & (y < top + rows) & (x >= left) & (x < left + columns)


def random_blocks(
    num: int, height: int, width: int, share: float, draw: Generator
) -> Bool[Tensor, "B H W"]:
    """Four rectangles for each image, of half of ``share`` of its sides; they may overlap."""
    blocks = random_holes(num * NUM_BLOCKS, height, width, share / 2, draw)
    return blocks.reshape(num, NUM_BLOCKS, height, width).any(dim=1)


def random_regions(
    num: int, height: int, width: int, share: float, draw: Generator
) -> Bool[Tensor, "B H W"]:
    """Regions of any outline for each image: where smooth noise is highest.

    They cover ``share`` squared of each image, and may touch its edge.
    """
    noise = torch.rand(num, 1, WAVES, WAVES, generator=draw)
    hills = functional.interpolate(noise, size=(height, width), mode="bicubic", align_corners=False)
    heights = hills.flatten(start_dim=1)
    top = heights.topk(max(int(share**2 * height * width), 1), dim=1).indices
    mask = torch.zeros(heights.shape, dtype=torch.bool).scatter(1, top, value=True)
    return mask.reshape(num, height, width)


def widened(hole: Bool[Tensor, "B H W"], band: int) -> Bool[Tensor, "B H W"]:
    """Holes with a band of ``band`` pixels around them, along both axes."""
    if not band:
        return hole
    near = functional.max_pool2d(hole[:, None].float(), 2 * band + 1, stride=1, padding=band)
    return near[:, 0] > 0


def centre_holes(num: int, height: int, width: int, share: float) -> Bool[Tensor, "B H W"]:
    """The same rectangle for each of ``num`` images, of ``share`` of its sides, in the middle."""
    mask = torch.zeros(num, height, width, dtype=torch.bool)
    rows, columns = max(int(share * height), 1), max(int(share * width), 1)
    top, left = (height - rows) // 2, (width - columns) // 2
    mask[:, top : top + rows, left : left + columns] = True
    return mask
