"""Images that show the same, or nearly the same: by a perceptual hash, confirmed by small pictures.

A difference hash (dHash) tells which neighbours in a small picture rise: it survives compression
and resizing. Parts that are photographed in one place have hashes much alike, so that what is found
by it is confirmed by the gray levels of a small picture. Photographs of pills, tiles, solar cells
and biscuits were found again after JPEG of quality 60 and at three quarters of their size.

Shapes: N = images, H W = image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 16
"""Of the picture that the hash is made of: it has 16 x 16 bits."""
THUMB = 32
"""Side of the small picture that confirms it, in pixels."""
MOST_BITS = 32
"""Of 256 that may differ."""
MOST_APART = 0.8
"""Mean difference of the small pictures, of 255 gray levels, up to which images are the same."""
MOST_IMAGES = 20_000
"""That are compared with each other; of more, only equal files are found."""
BLOCK = 2048
"""Images that are compared with all others at once."""


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What an image is compared by."""

    bits: NDArray[np.bool_]
    """(256,)."""
    thumb: NDArray[np.float32]
    """Gray levels (32 * 32,)."""


def fingerprint(pixels: NDArray[np.uint8]) -> Fingerprint:
    """Fingerprint of a gray image (H, W)."""
    import cv2

    small = cv2.resize(pixels, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    thumb = cv2.resize(pixels, (THUMB, THUMB), interpolation=cv2.INTER_AREA)
    return Fingerprint(
        (small[:, 1:] > small[:, :-1]).ravel(), np.asarray(thumb, dtype=np.float32).ravel()
    )


def pairs(prints: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    """Places of all pairs of images that show nearly the same, in order."""
    if not 2 <= len(prints) <= MOST_IMAGES:
        return []
    signs = np.stack([each.bits for each in prints]).astype(np.float32) * 2 - 1
    thumbs = np.stack([each.thumb for each in prints])
    least = signs.shape[1] - 2 * MOST_BITS
    found = []
    for start in range(0, len(signs), BLOCK):
        alike = signs[start : start + BLOCK] @ signs[start:].T >= least
        rows, columns = np.nonzero(np.triu(alike, 1))
        for first in range(0, len(rows), BLOCK):  # many, where parts lie in the same place
            left, right = (each[first : first + BLOCK] + start for each in (rows, columns))
            same = np.abs(thumbs[left] - thumbs[right]).mean(axis=1) <= MOST_APART
            found += list(zip(left[same].tolist(), right[same].tolist(), strict=True))
    return found


def groups(count: int, linked: Sequence[tuple[int, int]]) -> list[int]:
    """The first place of the group that each of ``count`` images belongs to, by linked pairs."""
    first = list(range(count))

    def root(place: int) -> int:
        while first[place] != place:
            first[place] = first[first[place]]
            place = first[place]
        return place

    for left, right in linked:
        low, high = sorted((root(left), root(right)))
        first[high] = low
    return [root(place) for place in range(count)]
