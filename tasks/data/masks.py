"""From bytes to marked pixels: the one reader of masks, in the ground truth and of regions.

A mask is judged by the brightness that people see: palettes are resolved, transparency is ignored,
and it is turned as its EXIF orientation says.

Shapes: H W = image.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tasks.data import images
from tasks.data.images import UnreadableError
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
    """Read a mask file; see ``of``, and for one that begins as JSON does ``of_polygons``.

    Args:
        source: The file or its content.

    Raises:
        UnreadableError: If it cannot be decoded.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    if content.lstrip()[:1] == b"{":
        return of_polygons(content)
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


def of_polygons(content: bytes) -> Mask:
    """What lies in one of the polygons of a file as LabelMe and others write it.

    It has ``imageHeight``, ``imageWidth`` and ``shapes``, each with ``points`` (x, y) in pixels.

    Raises:
        UnreadableError: If it has not, or a shape is no polygon.
    """
    try:
        known = json.loads(content)
        size = int(known["imageWidth"]), int(known["imageHeight"])
        polygons = [[(float(x), float(y)) for x, y in each["points"]] for each in known["shapes"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableError(
            "polygons must come as LabelMe writes them: imageHeight, imageWidth, and shapes with "
            f"points; {type(error).__name__}: {error}"
        ) from error
    if (
        min(size) < 1
        or size[0] * size[1] > images.MAX_PIXELS
        or min(map(len, polygons), default=3) < 3
    ):
        raise UnreadableError(
            f"polygons must have at least 3 points, in an image of 1 to {images.MAX_PIXELS} "
            f"pixels, got an image of {size[0]} x {size[1]}"
        )
    drawn = Image.new("L", size)
    for points in polygons:
        ImageDraw.Draw(drawn).polygon(points, fill=255)
    return of(drawn)


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
