"""Clips of a camera as their authors publish them: ``train``, ``test``, labels of the test frames.

Shapes: T = frames, B = batch, H W = frame.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from models.contracts import WINDOW

EVERY = 3
"""Of the frames that are judged, every third counts."""
BATCH = 16


class LabelledClip(NamedTuple):
    """A test clip (T, H, W), which of its frames are anomalous, and which pixels."""

    frames: NDArray[np.uint8]
    labels: NDArray[np.bool_]
    masks: NDArray[np.bool_]


def read(folder: Path) -> list[NDArray[np.uint8]]:
    """Clips in gray, each (T, H, W)."""
    clips = sorted(path for path in folder.iterdir() if path.is_dir())
    return [
        np.stack(
            [decode_image(str(file), mode=ImageReadMode.GRAY)[0] for file in sorted(clip.iterdir())]
        )
        for clip in clips
    ]


def read_test(folder: Path) -> list[LabelledClip]:
    """The test clips of a camera, with what is known of them."""
    with (
        np.load(folder / "test_frame_labels.npz") as labels,
        np.load(folder / "test_pixel_masks.npz") as masks,
    ):
        return [
            LabelledClip(clip, labels[name].astype(bool), masks[name])
            for name, clip in zip(sorted(labels), read(folder / "test"), strict=True)
        ]


def windows(clip: NDArray[np.uint8], step: int) -> Iterator[Tensor]:
    """Batches of windows in [0, 1]; the first ends with the sixth frame."""
    values = torch.from_numpy(clip).float().div_(255)
    yield from torch.split(values.unfold(0, WINDOW, 1).movedim(-1, 1)[::step], BATCH)
