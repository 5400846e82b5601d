"""Nearest: the normal training picture that a detector finds a picture closest to, if it can say.

PatchCore remembers where each patch of its memory is from; other methods keep no single picture.
"""

import base64
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.capabilities import Box, TracesPatches
from models.errors import DataError, NotFoundError
from tasks.data import snapshots
from tasks.packaging.detector import Packaged
from tasks.packaging.tensors import as_tensor
from tasks.records import DataVersion

LARGEST = 480
"""Pixels of a side of the picture that is shown."""


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """A normal picture that was learned from."""

    path: str
    """In its data set."""
    png: str
    """Base64; small."""
    distance: float
    """Between features of the worst place and those of the patch in it."""


def nearest(packaged: Packaged, frames: NDArray[np.uint8]) -> Nearest | None:
    """The training picture with the patch that the worst place of a still image is nearest to.

    Args:
        packaged: The detector.
        frames: One frame, (1, H, W) or (1, 3, H, W).

    Returns:
        None if the method cannot say, or the picture cannot be had.
    """
    detector = packaged.detector
    if len(frames) != 1 or not isinstance(detector, TracesPatches):
        return None
    image = as_tensor(packaged.preprocessing(frames), packaged.device)[0]
    [found] = detector.nearest_patches(image, [Box(0, 0, *image.shape[-2:])])
    try:
        snapshot = snapshots.open_version(DataVersion(**packaged.lineage["data"]))
        clips = snapshot.clips("train")
        if packaged.calibration.num_clips != len(clips):
            return None  # some were held out and the others shuffled: their numbers say nothing
        clip = clips[found.image]
        pixels = snapshot.read_clip(clip, None, packaged.preprocessing.channels)[0]
    except (DataError, NotFoundError):
        return None
    return Nearest(
        path=clip.frames[0].entry.relpath, png=_small(pixels), distance=float(found.distance)
    )


def _small(pixels: NDArray[np.uint8]) -> str:
    shown = (
        pixels if pixels.ndim == 2 else cv2.cvtColor(pixels.transpose(1, 2, 0), cv2.COLOR_RGB2BGR)
    )
    scale = min(LARGEST / max(shown.shape[:2]), 1.0)
    small = cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, png = cv2.imencode(".png", small)
    return base64.b64encode(png.tobytes()).decode()
