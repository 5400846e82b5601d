"""Means of scores over the neighbourhood in an image, and over the frames just before.

Shapes: B = batch, H W = image, T = frames of a clip.
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from models.errors import InvalidInputError


def neighbourhood_mean(values: Float[Tensor, "B H W"], side: int) -> Float[Tensor, "B H W"]:
    """Mean over the square around each pixel, as far as it lies in the image.

    Args:
        values: Any.
        side: Of the square, in pixels, odd; 1 changes nothing.
    """
    return functional.avg_pool2d(
        values[:, None], side, stride=1, padding=side // 2, count_include_pad=False
    )[:, 0]


def running_mean(scores: Float[Tensor, "T"], num: int) -> Float[Tensor, "T"]:
    """Mean of each score and of those before it, ``num`` in all as far as there are so many.

    No score depends on a later one, so a live stream gets the same.

    Args:
        scores: Of the frames of one clip, in order.
        num: How many, >= 1; 1 changes nothing.

    Raises:
        InvalidInputError: If ``num`` is less than 1.
    """
    if num < 1:
        raise InvalidInputError(f"num must be at least 1, got {num}.")
    if num == 1:
        return scores
    summed = functional.pad(scores.double().cumsum(dim=0), (1, 0))
    ends = torch.arange(1, len(scores) + 1, device=scores.device)
    starts = (ends - num).clamp(min=0)
    return ((summed[ends] - summed[starts]) / (ends - starts)).to(scores)


@lru_cache(maxsize=32)
def interpolation(cells: int, pixels: int, sigma: float) -> Float[Tensor, "pixels cells"]:
    """Matrix A that makes pixels of cells along one axis: bilinear, then smoothed by a Gaussian.

    A map is then ``A @ cells @ A.mT``. Beyond the image, its edge is mirrored.

    Args:
        cells: Equally wide parts that the axis is divided into.
        pixels: Of the axis.
        sigma: Standard deviation of the Gaussian, in pixels, >= 0; 0 smooths nothing.

    Example:
        >>> interpolation(2, 4, 0.0)[:, 1].tolist()
        [0.0, 0.25, 0.75, 1.0]
    """
    eye = torch.eye(cells)[None]
    linear = functional.interpolate(eye, size=pixels, mode="linear", align_corners=False)[0].mT
    if sigma <= 0:
        return linear.contiguous()
    reach = min(math.ceil(4 * sigma), pixels - 1)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = (-0.5 * (offsets / sigma).square()).exp()
    padded = functional.pad(linear.mT[:, None].double(), (reach, reach), mode="reflect")
    smooth = functional.conv1d(padded, (kernel / kernel.sum())[None, None])
    return smooth[:, 0].mT.float().contiguous()
