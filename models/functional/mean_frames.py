"""Mean frames: the temporal input of Deep-Anomaly, in place of red, green and blue.

Shapes: B = batch, C = channels, H W = image.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from models.errors import InvalidInputError
from models.functional.shared_frames import shared_frames, windows_of


def mean_frames(
    images: Float[Tensor, "B C H W"], *, black: float = 0.0
) -> Float[Tensor, "B 3 H W"]:
    """Three channels of any model input.

    Six consecutive gray frames I_{t-5} .. I_t become the means of the three pairs,
    ``(I_{t-5} + I_{t-4}) / 2`` first; one gray channel is repeated; three channels pass.

    Args:
        images: Any input; of windows that are a view of a clip, each mean frame is made once, and
            the result is a view of those.
        black: Gray level that is 0 in the result.

    Raises:
        InvalidInputError: If C is not 1, 3 or 6.

    References:
        Sabokrou et al., 2018, "Deep-anomaly", section 3.1. https://arxiv.org/abs/1609.00866
    """
    channels = images.shape[1]
    if channels == 6:
        frames = shared_frames(images)
        if frames is None:
            return torch.lerp(images[:, 0::2], images[:, 1::2], 0.5).sub_(black)
        return windows_of(torch.lerp(frames[:-1], frames[1:], 0.5).sub_(black), 5)[:, 0::2]
    if channels in (1, 3):
        shown = images - black if black else images
        return shown.expand(-1, 3, -1, -1)
    raise InvalidInputError(
        f"Images must have 1 (gray), 3 (colour) or 6 (consecutive gray frames) channels, got "
        f"{channels}. Set window and channels of the recipe."
    )


def temporal_basis(frames: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Mean, velocity and acceleration of three mean frames: an invertible change of basis.

    ``(a + b + c) / 3``, ``c - a`` and ``a - 2 b + c``. A still scene is 0 in the last two, so that
    movement, a small part of the original channels' variance, gets channels of its own.
    """
    first, second, third = frames.unbind(dim=1)
    mean = (first + second + third) / 3
    return torch.stack([mean, third - first, first - 2 * second + third], dim=1)
