"""Means of scores over the neighbourhood in an image.

Shapes: B = batch, H W = image.
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def neighbourhood_mean(values: Float[Tensor, "B H W"], side: int) -> Float[Tensor, "B H W"]:
    """Mean over the square around each pixel, as far as it lies in the image.

    Args:
        values: Any.
        side: Of the square, in pixels, odd; 1 changes nothing.
    """
    return functional.avg_pool2d(
        values[:, None], side, stride=1, padding=side // 2, count_include_pad=False
    )[:, 0]


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
