"""Black and white in images of more than 8 bits: one range for all images of a data version.

Cameras of 10 or 12 bits write files of 16: scaled by 65535, their images would keep 4 or 16 gray
levels. The range is that of the fewest bits that hold what the images hold. Where they fill less
than a quarter of it, as those of thermal cameras do, and for floating point beyond 255, it is what
they hold. It is found without labels, kept with the model, and applied where the model serves.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from tasks.data import images
from tasks.data.images import UnreadableError
from tasks.packaging.preprocessing import Levels

BITS = (8, 10, 12, 14, 16)
"""That cameras have."""
UNITS = (1.0, 255.0)
"""Whites of floating point images whose black is 0."""
LEAST_FILLED = 0.25
"""Share of a range that images must fill, else they would keep fewer than 64 gray levels."""
OUTLIERS = 1e-4
"""Share of the pixels of an image that may lie beyond each end: those of a sensor that are hot."""


@cache
def find(paths: tuple[Path, ...]) -> Levels | None:
    """Black and white of all images of more than 8 bits among these files; None if there are none.

    Args:
        paths: Image files whose content never changes; what cannot be read is left out.
    """
    lowest, highest, whole = np.inf, -np.inf, True
    for path in paths:
        for page in _pages(path):
            low, high = np.quantile(
                page.astype(np.float64), [OUTLIERS, 1 - OUTLIERS], method="nearest"
            )
            lowest, highest = min(lowest, float(low)), max(highest, float(high))
            whole = whole and bool(np.issubdtype(page.dtype, np.integer))
    return levels_of(lowest, highest, whole=whole) if lowest <= highest else None


def levels_of(lowest: float, highest: float, *, whole: bool) -> Levels:
    """The range for images whose values lie between two.

    Args:
        lowest: Value, but for outliers.
        highest: Value, but for outliers.
        whole: They are whole numbers.
    """
    whites: Sequence[float] = [2.0**bits - 1 for bits in BITS] if whole else UNITS
    white = next((white for white in whites if highest <= white), None)
    if lowest >= 0 and white and highest - lowest >= LEAST_FILLED * white:
        return 0.0, white
    return (lowest, highest) if highest > lowest else (lowest, lowest + 1)


def _pages(path: Path) -> list["np.ndarray[tuple[int, ...], np.dtype[np.generic]]"]:
    """Pages of an image file that have more than 8 bits."""
    found = []
    try:
        header = images.header(path)
        for page in range(header.pages if header.bits > 8 else 0):
            with images.opened(path) as image:
                values = images.decoded(image, path, page)
            if isinstance(values, np.ndarray):
                found.append(values)
    except (UnreadableError, OSError):
        return []
    return found
