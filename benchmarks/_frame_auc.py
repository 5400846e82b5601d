"""How well detectors tell Ped2's anomalous frames, each fitted to the same normal windows.

Shapes: B = batch, H W = frame.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from models.contracts import WINDOW, Detector
from models.functional.mean_frames import mean_frames
from models.metrics.detection import auc

BATCH = 16
NUM_HELD_OUT = 2
"""Training clips that only calibrate."""
EVERY = 6
"""Frames from one window to the next, of training and of test clips."""

Score = Callable[[Tensor], Tensor]
"""From windows (B, 6, H, W) to the scores of their last frames."""


class Windows:
    """Some windows of clips, in batches, as often as one iterates over them.

    Args:
        clips: Folders of frames.
    """

    def __init__(self, clips: list[Path]) -> None:
        self._clips = clips

    def __iter__(self) -> Iterator[Tensor]:
        """Batches of one clip each."""
        for clip in self._clips:
            files = sorted(clip.iterdir())
            gray = [decode_image(str(file), mode=ImageReadMode.GRAY)[0] for file in files]
            found = torch.stack(gray).float().div_(255).unfold(0, WINDOW, 1).movedim(-1, 1)
            yield from torch.split(found[::EVERY], BATCH)


def frame_aucs(folder: Path, detector: Detector, padim: Any | None) -> dict[str, float]:
    """Frame AUCs on the test clips, of scores as they come, not averaged over frames.

    Args:
        folder: Of ``ped2``.
        detector: Ours, not fitted.
        padim: ``anomalib``'s PaDiM, not fitted; left out if None. It is given gray frames, and,
            so that it can see movement too, the three mean frames that ours begins with.
    """
    known = _clips(folder, "train")
    learned, held_out = Windows(known[:-NUM_HELD_OUT]), Windows(known[-NUM_HELD_OUT:])
    detector.fit(learned, held_out)
    found = {"frame_auc": _frame_auc(lambda windows: detector(windows).image_score, folder)}
    if padim is None:
        return found
    for name, pictured in (("padim", _gray), ("padim_movement", mean_frames)):
        padim.memory_bank = []
        padim.train()
        for windows in Windows(known):
            padim(pictured(windows))
        padim.fit()
        padim.eval()
        found[f"{name}_frame_auc"] = _frame_auc(_scoring(padim, pictured), folder)
    return found


def _scoring(padim: Any, pictured: Callable[[Tensor], Tensor]) -> Score:
    return lambda windows: padim(pictured(windows)).pred_score


def _gray(windows: Tensor) -> Tensor:
    return windows[:, -1:].expand(-1, 3, -1, -1)


def _clips(folder: Path, split: str) -> list[Path]:
    return sorted(path for path in (folder / split).iterdir() if path.is_dir())


@torch.no_grad()
def _frame_auc(score: Score, folder: Path) -> float:
    scores: list[NDArray[np.float64]] = []
    truth: list[NDArray[np.uint8]] = []
    with np.load(folder / "test_frame_labels.npz") as labels:
        for name, clip in zip(sorted(labels), _clips(folder, "test"), strict=True):
            scores.extend(score(windows).double().cpu().numpy() for windows in Windows([clip]))
            truth.append(labels[name][WINDOW - 1 :: EVERY])
    return auc(np.concatenate(truth).astype(bool), np.concatenate(scores))
