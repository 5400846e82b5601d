"""Gray levels of an image, rounded up or down by chance, so that none is lost on average.

Shapes: B = batch, C = channels, H W = image.
"""

from jaxtyping import Float, Int
from torch import Tensor

FINEST = 4096
"""Steps between two levels that are distinguished: coarser than float32, finer than 8 bits."""


def dithered(
    images: Float[Tensor, "B C H W"], num_levels: int, noise: Float[Tensor, "*B C H W"]
) -> Int[Tensor, "B C H W"]:
    """Level of each value: rounded up with the probability of its fraction.

    With two levels this is dynamic binarisation: a value is the probability of a 1. With 256 it
    gives 8-bit images back as they were, whatever the noise.

    Args:
        images: Values in [0, 1]; what lies outside is clipped.
        num_levels: At least 2.
        noise: Uniform in [0, 1), for each image or for all alike.

    Example:
        >>> import torch
        >>> images = torch.tensor([0.0, 0.3, 0.3, 1.0]).reshape(1, 1, 2, 2)
        >>> dithered(images, 2, torch.tensor([[[0.9, 0.6], [0.8, 0.0]]])).flatten().tolist()
        [0, 0, 1, 1]

    References:
        Salakhutdinov and Murray, 2008, "On the quantitative analysis of deep belief networks",
        which samples binary digits from gray ones so.
    """
    exact = (images.clamp(0, 1).double() * (num_levels - 1) * FINEST).round() / FINEST
    return (exact + noise).floor().long().clamp(max=num_levels - 1)
