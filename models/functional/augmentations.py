"""Random changes of whole batches: one resampling for all geometry, then contrast and colour.

Each image has its own strength of each change. Strengths are made from uniform random numbers, one
row of them for each image, so that they do not depend on how images are cut into batches.

Shapes: B = batch, C = channels, H W = image, S = rows and columns of a view.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional

PALE = 0.02
"""Mean difference of an image's largest and smallest colour below which it is called gray."""


def factor(uniform: Float[Tensor, "B"], most: float) -> Float[Tensor, "B"]:
    """A factor in [1 / most, most], log-uniform, from numbers in [0, 1)."""
    return torch.exp((2 * uniform - 1) * math.log(most))


def signed_magnitude(uniform: Float[Tensor, "B"], least: float, most: float) -> Float[Tensor, "B"]:
    """A number of either sign, of magnitude in [least, most], from numbers in [0, 1)."""
    side = 2 * uniform - 1
    return torch.where(side < 0, -1.0, 1.0) * (least + (most - least) * side.abs())


def resample(
    images: Float[Tensor, "B C H W"],
    shift: Float[Tensor, "B 2"],
    zoom: Float[Tensor, "B"],
    angle: Float[Tensor, "B"],
    side: int,
    beyond: Literal["reflection", "border"] = "reflection",
) -> Float[Tensor, "B C S S"]:
    """Shift, magnify and turn the middle of images, by a single bilinear interpolation.

    Args:
        images: What to look at.
        shift: How far the content moves right and down, in sides of the view.
        zoom: Magnification, > 0.
        angle: How far the content turns clockwise, in radians.
        side: Rows and columns S of the views, in pixels; a zoom of 1 keeps the size of pixels.
        beyond: What lies beyond an image's edges: its mirror image, or its outermost pixels again.
    """
    height, width = images.shape[-2:]
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    linear = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], dim=1)
    offset = -2 * linear @ shift[:, :, None]
    theta = side * torch.cat([linear, offset], dim=2) / shift.new_tensor([[width], [height]])
    grid = functional.affine_grid(theta, [len(images), 1, side, side], align_corners=False)
    return functional.grid_sample(
        images, grid.to(images), mode="bilinear", padding_mode=beyond, align_corners=False
    )


def jittered(
    images: Float[Tensor, "B C S S"], shift: float, rotation: float, draw: Generator
) -> Float[Tensor, "B C S S"]:
    """Images that are shifted and turned, each by its own random amounts.

    Args:
        images: Squares; what lies beyond their edges are their outermost pixels again.
        shift: Largest shift along each axis, each way, in sides; 0 for none.
        rotation: Largest rotation each way, in degrees; 0 for none.
        draw: Source of randomness, on the CPU; untouched if both are 0.
    """
    if not (shift or rotation):
        return images
    draws = (2 * torch.rand(len(images), 3, generator=draw) - 1).to(images)
    angle = draws[:, 2] * math.radians(rotation)
    zoom = torch.ones_like(angle)
    return resample(images, shift * draws[:, :2], zoom, angle, images.shape[-1], "border")


def soften(
    images: Float[Tensor, "B C H W"], amount: Float[Tensor, "B"]
) -> Float[Tensor, "B C S T"]:
    """Blur by the weights (amount, 1 - 2 amount, amount) along both axes; loses the outermost ring.

    Args:
        images: At least 3 x 3 pixels.
        amount: In [0, 1/3]; adds a variance of ``2 * amount`` square pixels to each axis.
    """
    outer = amount[:, None, None, None]
    inner = 1 - 2 * outer
    rows = inner * images[:, :, 1:-1] + outer * (images[:, :, :-2] + images[:, :, 2:])
    return inner * rows[..., 1:-1] + outer * (rows[..., :-2] + rows[..., 2:])


def contrast(
    images: Float[Tensor, "B C H W"], strength: Float[Tensor, "B"]
) -> Float[Tensor, "B C H W"]:
    """Multiply the distance of each pixel from the image's mean; what leaves [0, 1] is clipped."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (mean + strength[:, None, None, None] * (images - mean)).clamp(0, 1)


def headroom(images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B"]:
    """The largest factor of contrast that clips nothing; infinite for a constant image."""
    mean = images.mean(dim=(1, 2, 3))
    brightest, darkest = images.amax(dim=(1, 2, 3)), images.amin(dim=(1, 2, 3))
    return torch.minimum((1 - mean) / (brightest - mean), mean / (mean - darkest)).nan_to_num(
        nan=torch.inf, posinf=torch.inf
    )


def curve(
    images: Float[Tensor, "B C H W"], power: Float[Tensor, "B"], light: Float[Tensor, "B"]
) -> Float[Tensor, "B C H W"]:
    """Bend the tone curve: raise pixels to a power, then mix with white or black.

    Args:
        images: In [0, 1], where they stay.
        power: > 0; above 1 darkens the middle tones.
        light: Share of white that is mixed in, or of black if it is negative; in [-1, 1].
    """
    bent = images.clamp(min=0) ** power[:, None, None, None]
    white = light[:, None, None, None]
    return torch.lerp(bent, (white > 0).to(bent), white.abs())


def recolour(
    images: Float[Tensor, "B 3 H W"], hue: Float[Tensor, "B"], saturation: Float[Tensor, "B"]
) -> Float[Tensor, "B 3 H W"]:
    """Turn the colour wheel and weaken or strengthen colours; the HSV value of a pixel stays.

    Args:
        images: Red, green and blue in [0, 1], where they stay.
        hue: Turns of the wheel; 1/3 makes red green.
        saturation: Factor of the HSV saturation, >= 0; what exceeds 1 is clipped.
    """
    red, green, blue = images.unbind(dim=1)
    value = images.amax(dim=1)
    chroma = value - images.amin(dim=1)
    safe = chroma.clamp(min=1e-8)
    place = torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    place = torch.where(value == red, (green - blue) / safe, place) + 6 * hue[:, None, None]
    chroma = torch.minimum(chroma * saturation[:, None, None], value)
    sector = (place[:, None] + place.new_tensor([5, 3, 1])[:, None, None]) % 6
    share = torch.minimum(sector, 4 - sector).clamp(0, 1)
    return value[:, None] - chroma[:, None] * share


def is_pale(images: Float[Tensor, "B C H W"]) -> torch.Tensor:
    """Whether there is no colour that could be changed: gray images and gray frames of clips.

    Returns:
        Shape (B,), bool.
    """
    if images.shape[1] != 3:
        return torch.ones(len(images), dtype=torch.bool, device=images.device)
    return (images.amax(dim=1) - images.amin(dim=1)).mean(dim=(1, 2)) < PALE
