"""Crops and holes: what an inpainting task cuts from an image and what it hides of that.

Shapes: B = batch, C = channels, H W = image, S T = rows and columns of a crop.
"""

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from torch.nn import functional


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
    height, width = images.shape[-2:]
    rows, columns = min(side, height), min(side, width)
    tops = torch.randint(height - rows + 1, (len(images), candidates), generator=draw)
    lefts = torch.randint(width - columns + 1, (len(images), candidates), generator=draw)
    moving = functional.pad(movement(images), (1, 0, 1, 0)).cumsum(dim=1).cumsum(dim=2).cpu()
    index = torch.arange(len(images))[:, None]
    inside = moving[index, tops + rows, lefts + columns] + moving[index, tops, lefts]
    inside -= moving[index, tops, lefts + columns] + moving[index, tops + rows, lefts]
    best = inside.argmax(dim=1)
    places = zip(images, tops[index[:, 0], best], lefts[index[:, 0], best], strict=True)
    return torch.stack(
        [image[:, top : top + rows, left : left + columns] for image, top, left in places]
    )


def random_holes(num: int, height: int, width: int, share: float, draw: Generator) -> Tensor:
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


def centre_holes(num: int, height: int, width: int, share: float) -> Bool[Tensor, "B H W"]:
    """The same rectangle for each of ``num`` images, of ``share`` of its sides, in the middle."""
    mask = torch.zeros(num, height, width, dtype=torch.bool)
    rows, columns = max(int(share * height), 1), max(int(share * width), 1)
    top, left = (height - rows) // 2, (width - columns) // 2
    mask[:, top : top + rows, left : left + columns] = True
    return mask
