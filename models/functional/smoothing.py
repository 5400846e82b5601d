"""Mean of a map over the neighbourhood of each pixel.

Shapes: B = batch, H W = image.
"""

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
