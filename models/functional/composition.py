"""Views with all changes at once: shifted, magnified, turned, in other contrast, tone and colour.

Shapes: B = batch, C = channels, H W = image, U = random numbers of a view, S = side of a view.
"""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from models.errors import InvalidInputError
from models.functional.augmentations import contrast, curve, factor, recolour, resample

NUM_UNIFORM = 9
"""Random numbers U that decide one view."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """How far a view may lie from its image; the defaults are near those of Exemplar CNN."""

    translation: float = 0.2
    """Largest shift across and down, in sides of the view, in [0, 0.5]."""
    scale: float = 1.4
    """Largest factor by which an image grows or shrinks, >= 1."""
    rotation: float = 20.0
    """Largest turn, in degrees, in [0, 180]."""
    contrast: float = 2.0
    """Largest factor of contrast, and of colour images' saturation, >= 1."""
    power: float = 2.0
    """Largest exponent of the tone curve, >= 1."""
    light: float = 0.2
    """Largest share of white or black that is mixed in, in [0, 1]."""
    hue: float = 0.1
    """Largest turn of the colour wheel, of colour images, in [0, 0.5]."""

    def __post_init__(self) -> None:
        for name, most in (("translation", 0.5), ("rotation", 180), ("light", 1), ("hue", 0.5)):
            if not 0 <= getattr(self, name) <= most:
                raise InvalidInputError(
                    f"{name} must be in [0, {most}], got {getattr(self, name)}."
                )
        for name in ("scale", "contrast", "power"):
            if not getattr(self, name) >= 1:
                raise InvalidInputError(f"{name} must be >= 1, got {getattr(self, name)}.")


def composed_views(
    images: Float[Tensor, "B C H W"], uniform: Float[Tensor, "B U"], changes: Changes, side: int
) -> Float[Tensor, "B C S S"]:
    """One view of the middle of each image, changed in every way.

    Args:
        images: In [0, 1]. Beyond their edges they are mirrored; if views are as large as the
            images, their outermost pixels are repeated instead, for there a whole object is seen.
        uniform: Random numbers in [0, 1).
        changes: How far a view may lie from its image.
        side: Rows and columns S of a view.
    """
    signed = 2 * uniform - 1
    views = resample(
        images,
        shift=changes.translation * signed[:, :2],
        zoom=factor(uniform[:, 2], changes.scale),
        angle=math.radians(changes.rotation) * signed[:, 3],
        side=side,
        beyond="reflection" if side < min(images.shape[-2:]) else "border",
    )
    views = contrast(views, factor(uniform[:, 4], changes.contrast))
    views = curve(views, factor(uniform[:, 5], changes.power), changes.light * signed[:, 6])
    if images.shape[1] != 3:
        return views
    saturation = factor(uniform[:, 8], changes.contrast)
    return recolour(views, changes.hue * signed[:, 7], saturation)
