"""Put-in defects: how a detector is judged where no test image is marked as anomalous.

Still images get the defects of ``models.functional.put_in_defects``; through clips glides a piece
of another frame, too fast to be usual. Figures about them are called ``put_in_...``, and say how
well *such* defects are told from what is normal, no more.

Shapes: T = frames, H W = frame as recorded.
"""

import time
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from models.contracts import Progress
from models.functional.put_in_defects import put_in_defects
from tasks.data.kinds import class_of
from tasks.data.snapshots import Clip, Snapshot
from tasks.evaluation import scoring
from tasks.evaluation.scoring import Scored
from tasks.packaging.detector import Packaged

MOST = 96
"""Images, or clips, that get a defect."""
KIND = "put-in"
"""Kind of all of them."""
RENAMED = ("image_", "frame_", "pixel_", "detection_rate")
"""Figures that are about anomalies begin so."""
SMALLEST = 16
"""Pixels of the shorter side of a still image that can have a defect."""
SIZE, SPEED = 6, 24
"""Parts of a frame's height and width that the gliding piece measures, and moves in a frame."""


def wanted(snapshot: Snapshot) -> bool:
    """Whether the test split of a data version lacks anomalies, and its images can have some.

    Where normal images have classes, clusters are judged; and some images are too small.
    """
    clips = snapshot.clips("test")
    if any(class_of(clip.kind) or snapshot.labels(clip).any() for clip in clips):
        return False
    first = (clips or snapshot.clips("train"))[0]
    return len(first.frames) > 1 or min(snapshot.frame_size(first)) >= SMALLEST


def scored(snapshot: Snapshot, packaged: Packaged, progress: Progress) -> Iterator[Scored]:
    """Scores of normal test images with defects; of training images if there are no others.

    Args:
        snapshot: A data version.
        packaged: A detector.
        progress: Shows the parts.

    Raises:
        DataError: If a file cannot be read.
    """
    clips = snapshot.clips("test") or snapshot.clips("train")
    chosen = clips[:: -(-len(clips) // MOST)]
    how = packaged.preprocessing
    parts = scoring.parts(snapshot, chosen, how.window, packaged.smoothing)
    for part in progress(list(parts), total=len(chosen), description="Put-in defects"):
        if part.lead:
            continue
        for members, frames in scoring.read(snapshot, part, how):
            if members.whole is None:
                changed, masks = _stills(frames, len(chosen))
            else:
                changed, masks = _gliding(frames)
            yield _judged(packaged, changed, masks, members.clips, still=members.whole is None)


def calibration_rows(packaged: Packaged) -> pd.DataFrame:
    """Scores of the calibration images, in place of normal test images that there are none of."""
    scores = packaged.calibration.image_score
    clips = packaged.calibration.clip
    frames = pd.Series(clips).groupby(clips).cumcount().to_numpy()
    return pd.DataFrame(
        {
            "clip": [f"calibration/{clip:05d}" for clip in clips],
            "kind": "good",
            "frame": frames,
            "label": 0,
            "image_score": scores,
            "p_value": np.nan,
            "pixel_score": np.nan,
        }
    )


def renamed(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics about put-in defects by names that say so."""
    found = {}
    for name, value in metrics.items():
        about = name.startswith(RENAMED)
        short = name.removeprefix("image_").removeprefix("frame_").replace("auroc", "auc")
        short = short.replace("auc", "auroc")
        found[f"put_in_{short}" if about else name] = value
    return found


def _stills(frames: NDArray[np.uint8], seed: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    images = torch.from_numpy(frames if frames.ndim == 4 else frames[:, None]).float() / 255
    put_in = put_in_defects(images, seed)
    changed = (put_in.images * 255).round().byte().numpy().reshape(frames.shape)
    return changed, put_in.masks.numpy()


def _gliding(frames: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A piece of the middle frame, mirrored, that crosses the clip from the left, and again."""
    num, (height, width) = len(frames), frames.shape[-2:]
    tall, wide = max(height // SIZE, 4), max(width // SIZE, 4)
    top = (height - tall) // 2
    piece = frames[num // 2, ..., top : top + tall, :wide][..., ::-1]
    changed, masks = frames.copy(), np.zeros((num, height, width), dtype=bool)
    for t in range(num):
        left = t * max(width // SPEED, 2) % (width - wide)
        changed[t, ..., top : top + tall, left : left + wide] = piece
        masks[t, top : top + tall, left : left + wide] = True
    return changed, masks


def _judged(
    packaged: Packaged,
    frames: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    clips: Sequence[Clip],
    *,
    still: bool,
) -> Scored:
    maps = scoring.localises(packaged, frames)
    started = time.perf_counter()
    prediction = packaged.predict(frames, anomaly_map=maps)
    seconds = time.perf_counter() - started
    owners = [(clip, frame) for clip in clips for frame in clip.frames]
    shown = [owners[place] for place in prediction.frame_index]
    return Scored(
        still=still,
        clips=tuple(f"{KIND}/{clip.name.partition('/')[2]}" for clip, _ in shown),
        kinds=(KIND,) * len(shown),
        numbers=np.array([frame.index for _, frame in shown]),
        frames=frames[prediction.frame_index],
        labels=np.ones(len(shown), dtype=bool),
        masks=masks[prediction.frame_index],
        prediction=prediction,
        seconds=seconds,
    )
