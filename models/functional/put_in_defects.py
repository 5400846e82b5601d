"""Defects put into normal images: what a detector is judged by where nobody has labelled any.

Shapes: B = batch, C = channels, H W = image, h w = patch, y x = patch and a pixel around it.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import fft
from torch import Generator, Tensor
from torch.nn import functional

from models.errors import InvalidInputError

SIDES = (0.04, 0.2)
"""Least and largest side of a patch, against the shorter one of the image; log-uniform."""
VISIBLE = 0.02
"""Change of a gray level, of 1, from which a pixel counts as changed."""
TRIES = 8
"""Places that are tried for a patch until it can be seen there."""


class PutIn(NamedTuple):
    """Images with a defect each, and where it is.

    Attributes:
        images: In [0, 1]. Shape (B, C, H, W).
        masks: Pixels that were changed visibly. Shape (B, H, W).
        kinds: Name of the kind of each defect.
    """

    images: Float[Tensor, "B C H W"]
    masks: Bool[Tensor, "B H W"]
    kinds: list[str]


def put_in_defects(images: Float[Tensor, "B C H W"], seed: int = 0) -> PutIn:
    """Put one defect into each of some normal images, the kinds in turn; deterministic.

    Args:
        images: Normal, in [0, 1], at least 16 x 16. They are each other's sources of patches.
        seed: Of sizes, places and strengths.

    Raises:
        InvalidInputError: If the images are too small.
    """
    if min(images.shape[-2:]) < 16:
        raise InvalidInputError(
            "Defects are put into images of at least 16 x 16 pixels, got "
            f"{images.shape[-2]} x {images.shape[-1]}. Set image_size in the recipe."
        )
    draw = Generator().manual_seed(seed)
    changed, masks, names = images.clone(), [], []
    for number, image in enumerate(images):
        name = list(KINDS)[number % len(KINDS)]
        other = images[(number + 1 + _whole(draw, 0, max(len(images) - 1, 1))) % len(images)]
        mask = torch.zeros(image.shape[-2:], dtype=torch.bool)
        for _ in range(TRIES):
            changed[number] = KINDS[name](image, other, draw)
            mask = (changed[number] - image).abs().amax(dim=0) > VISIBLE
            if mask.any():
                break
        masks.append(mask)
        names.append(name)
    return PutIn(changed, torch.stack(masks), names)


def cut_paste(image: Tensor, _: Tensor, draw: Generator) -> Float[Tensor, "C H W"]:
    """CutPaste: a rectangle of the image itself at another place, its brightness changed a little.

    References:
        Li, Sohn, Yoon and Pfister, 2021, section 2.2. https://arxiv.org/abs/2104.04015
    """
    height, width = _size(image, draw)
    patch = _crop(image, height, width, draw) * _uniform(draw, 0.9, 1.1)
    top, left = _place(image, height, width, draw)
    changed = image.clone()
    changed[:, top : top + height, left : left + width] = patch.clamp(0, 1)
    return changed


def scar(image: Tensor, _: Tensor, draw: Generator) -> Float[Tensor, "C H W"]:
    """CutPaste's scar: a thin turned strip of the image at another place.

    References:
        Li, Sohn, Yoon and Pfister, 2021, section 2.3. https://arxiv.org/abs/2104.04015
    """
    long, _short = sorted(_size(image, draw), reverse=True)
    thick = max(long // 8, 2)
    patch = _crop(image, long, long, draw) * _uniform(draw, 0.7, 1.3)
    angle = _uniform(draw, 0.0, math.pi)
    down, across = _grid(long, long)
    away = (down * math.cos(angle) + across * math.sin(angle)).abs() * long / 2
    return _laid_over(image, patch.clamp(0, 1), (thick / 2 + 0.5 - away).clamp(0, 1), draw)


def blended(image: Tensor, other: Tensor, draw: Generator) -> Float[Tensor, "C H W"]:
    """NSA: a patch of another image, resized, blended in without a seam by Poisson's equation.

    References:
        Schlueter, Tan, Hou and Kainz, 2022, "Natural Synthetic Anomalies", section 3.
        https://arxiv.org/abs/2109.15222. Perez, Gangnet and Blake, 2003, "Poisson image editing".
    """
    height, width = _size(image, draw)
    source = _crop(other, *_size(other, draw), draw)
    patch = functional.interpolate(
        source[None], size=(height + 2, width + 2), mode="bilinear", align_corners=False
    )[0]
    top, left = _place(image, height, width, draw)
    ring = image[:, top - 1 : top + height + 1, left - 1 : left + width + 1]
    changed = image.clone()
    changed[:, top : top + height, left : left + width] = _poisson(
        ring, patch, mixed=_uniform(draw, 0.0, 1.0) < 0.5
    )
    return changed


def _poisson(
    image: Float[Tensor, "C y x"], patch: Float[Tensor, "C y x"], *, mixed: bool
) -> Float[Tensor, "C h w"]:
    """Inner pixels that have the gradients of a patch, and the image at the edge.

    Solved in the sine transform, in which the Laplacian is a product.

    Args:
        image: What is there, with one more pixel to each side.
        patch: What is to be there, in the same size.
        mixed: Take the steeper of both gradients at each pixel, rather than the patch's.
    """
    there, wanted = (part.double().cpu().numpy() for part in (image, patch))
    field = []
    for axis in (1, 2):
        ours, theirs = np.diff(there, axis=axis), np.diff(wanted, axis=axis)
        field.append(np.where(mixed & (np.abs(ours) > np.abs(theirs)), ours, theirs))
    target = np.diff(field[0], axis=1)[:, :, 1:-1] + np.diff(field[1], axis=2)[:, 1:-1]
    target[:, 0] -= there[:, 0, 1:-1]
    target[:, -1] -= there[:, -1, 1:-1]
    target[:, :, 0] -= there[:, 1:-1, 0]
    target[:, :, -1] -= there[:, 1:-1, -1]
    down, across = (
        2 * np.cos(np.pi * np.arange(1, length + 1) / (length + 1)) - 2
        for length in target.shape[1:]
    )
    waves = fft.dstn(target, type=1, axes=(1, 2)) / (down[:, None] + across)
    found = fft.idstn(waves, type=1, axes=(1, 2))
    return torch.from_numpy(found).to(image).clamp(0, 1)


def texture(image: Tensor, other: Tensor, draw: Generator) -> Float[Tensor, "C H W"]:
    """A soft spot of another image's texture, turned and in another contrast.

    References:
        Zavrtanik, Kristan and Skocaj, 2021, "DRAEM", section 3.3, with textures of the set itself
        in place of a data set of textures. https://arxiv.org/abs/2108.07610
    """
    height, width = _size(image, draw)
    turned = torch.rot90(other, _whole(draw, 0, 4), dims=(1, 2))
    patch = _crop(turned, min(height, turned.shape[1]), min(width, turned.shape[2]), draw)
    middle = patch.mean(dim=(1, 2), keepdim=True)
    shifted = middle + (patch - middle) * _uniform(draw, 0.5, 1.5) + _uniform(draw, -0.15, 0.15)
    soft = _ellipse(*patch.shape[1:]) * _uniform(draw, 0.4, 1.0)
    return _laid_over(image, shifted.clamp(0, 1), soft, draw)


KINDS: Mapping[str, Callable[[Tensor, Tensor, Generator], Tensor]] = {
    "cut_paste": cut_paste,
    "blended": blended,
    "scar": scar,
    "texture": texture,
}


def _uniform(draw: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=draw))


def _whole(draw: Generator, low: int, high: int) -> int:
    """A whole number from ``low`` up to, but not including, ``high``."""
    return int(torch.randint(low, high, (), generator=draw))


def _size(image: Tensor, draw: Generator) -> tuple[int, int]:
    """Height and width of a patch, log-uniform and independent."""
    shorter = min(image.shape[-2:])
    low, high = (math.log(share * shorter) for share in SIDES)
    height, width = (max(round(math.exp(_uniform(draw, low, high))), 4) for _ in range(2))
    return min(height, shorter - 2), min(width, shorter - 2)


def _place(image: Tensor, height: int, width: int, draw: Generator) -> tuple[int, int]:
    rows, columns = image.shape[-2:]
    return _whole(draw, 1, rows - height), _whole(draw, 1, columns - width)


def _crop(image: Tensor, height: int, width: int, draw: Generator) -> Float[Tensor, "C h w"]:
    top = _whole(draw, 0, image.shape[-2] - height + 1)
    left = _whole(draw, 0, image.shape[-1] - width + 1)
    return image[:, top : top + height, left : left + width]


def _grid(height: int, width: int) -> tuple[Float[Tensor, "h 1"], Float[Tensor, "1 w"]]:
    return torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)[None]


def _ellipse(height: int, width: int) -> Float[Tensor, "h w"]:
    """1 in the middle of a rectangle, falling to 0 at the ellipse in it."""
    down, across = _grid(height, width)
    return ((1 - (down.square() + across.square()).sqrt()) * 3).clamp(0, 1)


def _laid_over(
    image: Tensor, patch: Float[Tensor, "C h w"], weight: Float[Tensor, "h w"], draw: Generator
) -> Float[Tensor, "C H W"]:
    height, width = weight.shape
    top, left = _place(image, height, width, draw)
    changed = image.clone()
    here = changed[:, top : top + height, left : left + width]
    changed[:, top : top + height, left : left + width] = here + weight * (patch - here)
    return changed
