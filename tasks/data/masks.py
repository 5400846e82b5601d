"""From bytes to marked pixels: the one reader of masks, in the ground truth and of regions.

A mask is judged by the brightness that people see: palettes are resolved, transparency is ignored,
and it is turned as its EXIF orientation says.

Shapes: H W = image.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.data import images
from tasks.packaging.preprocessing import quantized

HALF = 128
"""Brightness from which a pixel of a mask of many levels is marked, of 255."""
INDICES = 32
"""A mask whose levels are all below this holds numbers of classes or objects: 0 is not marked."""


@dataclass(frozen=True, eq=False)
class Mask:
    """Which pixels are marked, and how that was found."""

    marked: NDArray[np.bool_]
    """(H, W)."""
    levels: int
    """Different brightnesses in it: 1 or 2 in a clean mask, more in one saved as JPEG."""

    @property
    def share(self) -> float:
        """Marked pixels of all, in [0, 1]."""
        return float(self.marked.mean())


def read(source: Path | bytes) -> Mask:
    """Read a mask file; see ``of``.

    Args:
        source: The file or its content.

    Raises:
        UnreadableError: If it cannot be decoded.
    """
    with images.opened(source) as image:
        return of(images.decoded(image, source))


def of(picture: Image.Image | NDArray[np.generic]) -> Mask:
    """The mask that an image shows.

    Of two levels the brighter one is marked, and a single one unless it is black. Of more levels
    those from half of white on are marked, because the others come from compression or smooth
    edges; where all are dark, they number classes or objects, and every level but 0 is marked.

    Args:
        picture: From ``images.decoded``.
    """
    bright = _brightness(picture)
    found = np.unique(bright)
    if len(found) <= 2:
        return Mask(bright == found[-1] if found[-1] > 0 else bright > 0, len(found))
    threshold = 1 if found[-1] < INDICES else HALF
    return Mask(bright >= threshold, len(found))


def doubt(mask: Mask, *, normal: bool, still: bool) -> str | None:
    """What is probably not meant by a mask; None if nothing is.

    Args:
        mask: Of the ground truth.
        normal: It belongs to a kind that is normal.
        still: It belongs to a still image, and not to a frame that may be normal.
    """
    if mask.levels > 2:
        return f"of {mask.levels} levels, those from half of white on are marked"
    if normal and mask.share:
        return "it marks pixels of a normal image, which count as normal"
    if not normal and still and not mask.share:
        return "it marks nothing, so that its image counts as normal"
    return None


def resize(mask: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """The mask at another height and width, by the nearest pixel."""
    rows = (np.arange(size[0]) + 0.5) * mask.shape[0] / size[0]
    columns = (np.arange(size[1]) + 0.5) * mask.shape[1] / size[1]
    return np.asarray(mask[rows.astype(int)[:, None], columns.astype(int)])


def _brightness(picture: Image.Image | NDArray[np.generic]) -> NDArray[np.uint8]:
    """The brightest channel of each pixel (H, W), so that a red mark counts as much as a white."""
    if not isinstance(picture, Image.Image):
        peak = max(float(np.asarray(picture, np.float64).max()), 1e-12)
        scaled = quantized(picture, (0.0, peak))
        return np.asarray(scaled if scaled.ndim == 2 else scaled.max(axis=-1))
    if picture.mode in {"L", "1"}:
        return np.asarray(picture.convert("L"))
    return np.asarray(np.asarray(picture.convert("RGB")).max(axis=-1))
