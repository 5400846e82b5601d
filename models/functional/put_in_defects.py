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
LEAST_SHARE = 3e-4
"""Share of the pixels that a defect changes visibly: about 20 of 256 x 256."""
TRIES = 8
"""Places and strengths that are tried until a defect can be seen."""


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
        seed: Of sizes, places and strengths, and of the kind that comes first.

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
        name = list(KINDS)[(number + seed) % len(KINDS)]
        other = images[(number + 1 + _whole(draw, 0, max(len(images) - 1, 1))) % len(images)]
        mask = torch.zeros(image.shape[-2:], dtype=torch.bool)
        for _ in range(TRIES):
            changed[number] = KINDS[name](image, other, draw)
            mask = (changed[number] - image).abs().amax(dim=0) > VISIBLE
            if mask.double().mean() >= LEAST_SHARE:
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
    distance = (down * math.cos(angle) + across * math.sin(angle)).abs() * long / 2
    return _laid_over(image, patch.clamp(0, 1), (thick / 2 + 0.5 - distance).clamp(0, 1), draw)


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


def scratch(image: Tensor, _: Tensor, draw: Generator) -> Float[Tensor, "C H W"]:
    """A thin line, a little bent, darker or brighter than what it crosses."""
    rows, columns = image.shape[-2:]
    shorter = min(rows, columns)
    long = max(shorter * math.exp(_uniform(draw, math.log(0.08), math.log(0.5))), 6.0)
    angle, bend = _uniform(draw, 0.0, math.pi), _uniform(draw, -0.15, 0.15) * long
    along = torch.linspace(-0.5, 0.5, 48)
    bow = bend * (1 - 4 * along.square())
    down = along * long * math.cos(angle) - bow * math.sin(angle)
    across = along * long * math.sin(angle) + bow * math.cos(angle)
    down = down + _uniform(draw, 0.1, 0.9) * rows
    across = across + _uniform(draw, 0.1, 0.9) * columns
    row, column = torch.arange(rows)[:, None, None], torch.arange(columns)[None, :, None]
    apart = ((row - down).square() + (column - across).square()).amin(dim=2).sqrt()
    thick = max(shorter / 256, 1) * _uniform(draw, 0.6, 2.0)
    return _tinted(image, (thick + 0.5 - apart).clamp(0, 1), draw)


def stain(image: Tensor, _: Tensor, draw: Generator) -> Float[Tensor, "C H W"]:
    """A soft blot of another brightness or colour, in an irregular shape."""
    return _tinted(image, _blot(image, draw), draw)


def blurred(image: Tensor, _: Tensor, draw: Generator) -> Float[Tensor, "C H W"]:
    """A spot that is smeared: its detail is gone, its brightness stays."""
    weight, sigma = _blot(image, draw), min(image.shape[-2:]) * _uniform(draw, 0.01, 0.03)
    reach = max(math.ceil(2 * sigma), 1)
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma).square())
    bell = (bell / bell.sum()).to(image)
    smooth = functional.pad(image[:, None], (reach,) * 4, mode="replicate")
    smooth = functional.conv2d(smooth, bell.view(1, 1, -1, 1))
    smooth = functional.conv2d(smooth, bell.view(1, 1, 1, -1))[:, 0]
    return image + weight * (smooth - image)


def dent(image: Tensor, _: Tensor, draw: Generator) -> Float[Tensor, "C H W"]:
    """A spot that is squeezed towards a side, as where something was bent or pushed in."""
    height, width = (2 * side for side in _size(image, draw))
    rows, columns = image.shape[-2:]
    middle = _uniform(draw, 0.1, 0.9) * rows, _uniform(draw, 0.1, 0.9) * columns
    angle = _uniform(draw, 0.0, 2 * math.pi)
    row, column = torch.arange(rows)[:, None], torch.arange(columns)[None]
    apart = ((row - middle[0]) / height).square() + ((column - middle[1]) / width).square()
    strength = torch.exp(-4 * apart) * _uniform(draw, 0.15, 0.4)
    down = row + strength * height * math.sin(angle)
    across = column + strength * width * math.cos(angle)
    grid = torch.stack([across * 2 / (columns - 1) - 1, down * 2 / (rows - 1) - 1], dim=-1)
    moved = functional.grid_sample(
        image[None], grid[None].to(image), padding_mode="border", align_corners=True
    )[0]
    return torch.where(apart < 1.5, moved, image).clamp(0, 1)


KINDS: Mapping[str, Callable[[Tensor, Tensor, Generator], Tensor]] = {
    "cut_paste": cut_paste,
    "blended": blended,
    "scar": scar,
    "texture": texture,
    "scratch": scratch,
    "stain": stain,
    "blurred": blurred,
    "dent": dent,
}


def _blot(image: Tensor, draw: Generator) -> Float[Tensor, "H W"]:
    """Weight of a spot whose edge is irregular: 1 inside, 0 outside, soft between."""
    height, width = _size(image, draw)
    coarse = torch.rand(1, 1, 4, 4, generator=draw)
    noise = functional.interpolate(coarse, size=(height, width), mode="bicubic")[0, 0]
    down, across = _grid(height, width)
    inside = 1 - (down.square() + across.square()).sqrt() + 0.8 * (noise - 0.5)
    edge = (down.abs().maximum(across.abs()) < 1).float()
    weight = torch.zeros(image.shape[-2:])
    top, left = _place(image, height, width, draw)
    weight[top : top + height, left : left + width] = (inside * 3).clamp(0, 1) * edge
    return weight.to(image)


def _tinted(image: Tensor, weight: Float[Tensor, "H W"], draw: Generator) -> Tensor:
    """Other brightness where the weight is, and in half of the images in colour another colour."""
    sign = 1 if _uniform(draw, 0.0, 1.0) < 0.5 else -1
    change = sign * math.exp(_uniform(draw, math.log(0.05), math.log(0.5)))
    coloured = 0.5 * (_uniform(draw, 0.0, 1.0) < 0.5 and bool((image != image[:1]).any()))
    factors = 1 - coloured * torch.rand(len(image), 1, 1, generator=draw)
    return (image + weight.to(image) * change * factors.to(image)).clamp(0, 1)


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
