"""Views with one of four families of changes: translation, scale, contrast, colour.

Shapes: B = batch, C = channels, H = side of a crop, U = random numbers of a view, S = side of a
view.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.errors import InvalidInputError
from models.functional.augmentations import (
    contrast,
    curve,
    factor,
    headroom,
    is_pale,
    recolour,
    resample,
    signed_magnitude,
    soften,
)

FAMILIES = ("translation", "scale", "contrast", "colour")
NUM_UNIFORM = 6
"""Random numbers U that decide one view."""
WARP_ZOOM, WARP_ANGLE = 1.02, math.radians(2)
"""Largest factor and angle of the warp that every view gets, whatever its family."""
BLUR = 0.14
"""Of the image that grows most: enough that all pixel noise looks alike, little for the content."""
SMALLEST = 8


@dataclass(frozen=True, kw_only=True)
class Strengths:
    """How much each family changes. The smallest strength is half of the largest (for factors, its
    square root), so that no view is as good as unchanged.
    """  # noqa: D205

    translation: float = 0.16
    """Largest shift, in sides of the view, in (0, 0.5)."""
    scale: float = 1.3
    """Largest factor by which an image grows or shrinks, in (1, 1.6]."""
    contrast: float = 3.0
    """Largest factor of contrast, > 1."""
    power: float = 2.5
    """Largest exponent of the tone curve, for images without colour, > 1."""

    def __post_init__(self) -> None:
        if not 0 < self.translation < 0.5:
            raise InvalidInputError(f"translation must be in (0, 0.5), got {self.translation}.")
        if not 1 < self.scale <= 1.6:
            raise InvalidInputError(f"scale must be in (1, 1.6], got {self.scale}.")
        if not min(self.contrast, self.power) > 1:
            raise InvalidInputError(
                f"contrast and power must be > 1, got {self.contrast} and {self.power}."
            )


def view_side(crop: int, strengths: Strengths) -> int:
    """Side S of the largest view that never looks beyond a crop.

    Raises:
        InvalidInputError: If the crop is too small.
    """
    turned = WARP_ZOOM * (math.cos(WARP_ANGLE) + math.sin(WARP_ANGLE))
    reach = turned * max(strengths.scale, 1 + 2 * strengths.translation)
    side = int((crop - 1) / reach) - 2
    if side < SMALLEST:
        least = math.ceil((SMALLEST + 2) * reach) + 1
        raise InvalidInputError(
            f"Transformations need crops of at least {least} x {least} pixels, got {crop}. "
            "Use larger images, or raise crop."
        )
    return side


def one_family_views(
    crops: Float[Tensor, "B C H H"],
    families: Int[Tensor, "B"],
    uniform: Float[Tensor, "B U"],
    strengths: Strengths,
) -> Float[Tensor, "B C S S"]:
    """Change each crop by one family, and leave no trace by which to tell the family but that.

    All views pass the same interpolation with a small random shift, zoom and turn of their own;
    none looks beyond its crop; nothing is clipped; and a slight blur, weaker where an image grows,
    makes noise of single pixels as wide in every view.

    Args:
        crops: In [0, 1].
        families: Places in ``FAMILIES``.
        uniform: Random numbers in [0, 1).
        strengths: How much each family changes.
    """
    side = view_side(crops.shape[-1], strengths)
    shifted, scaled, contrasted, coloured = (families == k for k in range(len(FAMILIES)))
    shift = (uniform[:, :2] - 0.5) / (side + 2)
    shift = shift + _towards(uniform[:, 4:], strengths.translation) * shifted[:, None]
    most = math.log(strengths.scale)
    zoom = torch.where(scaled, signed_magnitude(uniform[:, 4], most / 2, most).exp(), 1.0)
    zoom = zoom * factor(uniform[:, 2], WARP_ZOOM)
    angle = WARP_ANGLE * (2 * uniform[:, 3] - 1)
    views = resample(crops, shift, zoom, angle, side + 2)
    # Interpolation spreads a pixel by a variance of 1/6 square pixels, times the zoom squared.
    views = soften(views, BLUR + ((strengths.scale * WARP_ZOOM) ** 2 - zoom**2) / 12)
    views[contrasted] = _contrasted(views[contrasted], uniform[contrasted, 4:], strengths.contrast)
    views[coloured] = _coloured(views[coloured], uniform[coloured, 4:], strengths.power)
    return views


def _towards(uniform: Tensor, most: float) -> Tensor:
    """Steps of at least half of ``most``, in any direction."""
    direction = 2 * math.pi * uniform[:, 1]
    far = most * (1 + uniform[:, 0]) / 2
    return torch.stack([direction.cos(), direction.sin()], dim=1) * far[:, None]


def _contrasted(views: Tensor, uniform: Tensor, most: float) -> Tensor:
    """Lower the contrast; of half of the views, raise it instead as far as nothing clips."""
    least, room = math.sqrt(most), headroom(views).clamp(max=most)
    lowered = most ** -(0.5 + uniform[:, 0] / 2)
    raised = least * (room / least) ** uniform[:, 0]
    return contrast(views, torch.where((uniform[:, 1] < 0.5) & (room > least), raised, lowered))


def _coloured(views: Tensor, uniform: Tensor, most: float) -> Tensor:
    """Turn the colours; where there are none, bend the tone curve and mix in white or black."""
    bend = signed_magnitude(uniform[:, 0], math.log(most) / 2, math.log(most))
    bent = curve(views, bend.exp(), -torch.sign(bend) * (0.1 + 0.2 * uniform[:, 1]))
    if views.shape[1] != 3:
        return bent
    turned = recolour(views, signed_magnitude(uniform[:, 0], 0.15, 0.5), factor(uniform[:, 1], 1.5))
    return torch.where(is_pale(views)[:, None, None, None], bent, turned)
