"""Score the test split of a data version part by part, so that maps never fill the memory.

Shapes: N = scored frames, H W = frame as recorded.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.contracts import Progress
from models.errors import DataError, InvalidInputError
from tasks.data.kinds import is_normal
from tasks.data.snapshots import Clip, Snapshot
from tasks.packaging.detector import Packaged, Prediction
from tasks.packaging.preprocessing import Preprocessing

MEMORY = 1 << 27
"""Bytes of the anomaly maps of one part."""
STILLS = 32
"""Still images that are scored at once."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Consecutive scored frames of one clip, or still images of one size, with their truth."""

    still: bool
    """They are still images."""
    clips: tuple[str, ...]
    """Name of each frame's clip. Length N."""
    kinds: tuple[str, ...]
    numbers: NDArray[np.int64]
    """Number of each frame in its clip. Shape (N,)."""
    frames: NDArray[np.uint8]
    """As recorded, (N, H, W) or (N, 3, H, W)."""
    labels: NDArray[np.bool_]
    """Which are anomalous. Shape (N,)."""
    masks: NDArray[np.bool_] | None
    """Anomalous pixels (N, H, W); None if nobody marked them."""
    prediction: Prediction
    seconds: float
    """That scoring took, without reading."""


@dataclass(frozen=True)
class Part:
    """Still images, or consecutive frames of a clip."""

    clips: tuple[Clip, ...]
    whole: Clip | None = None
    """The clip that they are a part of; None for still images."""
    start: int = 0
    """Position of the first frame in it."""
    lead: int = 0
    """Scores at its start that another part tells too, and that only averages are made of."""


def scored(
    snapshot: Snapshot,
    clips: Sequence[Clip],
    packaged: Packaged,
    progress: Progress,
    share: range | None = None,
) -> Iterator[Scored]:
    """Score clips in order; frames before the first full window are left out.

    Args:
        snapshot: Where they are read.
        clips: Of the test split.
        packaged: A detector.
        progress: Shows the parts.
        share: Places of the parts to score, as ``weights`` counts them; all if None.

    Raises:
        DataError: If a file cannot be read, or no clip is as long as the detector's window.
    """
    maps: bool | None = None
    preprocessing = packaged.preprocessing
    wanted = _long_enough(snapshot, clips, preprocessing.window, packaged.smoothing)
    wanted = wanted if share is None else wanted[share.start : share.stop]
    for part in progress(wanted, total=len(wanted), description="Scoring test clips"):
        for members, frames in read(snapshot, part, preprocessing):
            started = time.perf_counter()
            if maps is None:
                maps = localises(packaged, frames)
            prediction = _without(part.lead, packaged.predict(frames, anomaly_map=maps))
            seconds = time.perf_counter() - started
            yield _with_truth(snapshot, members, frames, prediction, seconds)


def weights(snapshot: Snapshot, clips: Sequence[Clip], window: int) -> list[int]:
    """Frames of each of the parts that ``scored`` scores one after the other.

    Raises:
        DataError: If no clip is as long as the window.
    """
    parts = _long_enough(snapshot, clips, window)
    return [sum(len(clip.frames) for clip in part.clips) for part in parts]


def _long_enough(
    snapshot: Snapshot, clips: Sequence[Clip], window: int, smoothing: int = 1
) -> list[Part]:
    chosen = [clip for clip in clips if len(clip.frames) >= window]
    if not chosen:
        raise DataError(
            f"The test split must hold an image or clip of at least {window} frames for this "
            f"detector, got {len(clips)} clips, all shorter. Add some to test/."
        )
    return list(parts(snapshot, chosen, window, smoothing))


def localises(packaged: Packaged, frames: NDArray[np.uint8]) -> bool:
    """Whether a detector makes anomaly maps."""
    try:
        packaged.predict(frames[: packaged.preprocessing.window], anomaly_map=True)
    except InvalidInputError:
        return False
    return True


def _without(num: int, prediction: Prediction) -> Prediction:
    """Leave out the first frames of a prediction."""
    kept: dict[str, Any] = {
        field.name: value[num:]
        for field in fields(Prediction)
        if isinstance(value := getattr(prediction, field.name), np.ndarray)
    }
    return replace(prediction, **kept)


def parts(snapshot: Snapshot, clips: Sequence[Clip], window: int, smoothing: int) -> Iterator[Part]:
    """Still images of one kind; clips, or overlapping parts of them if their maps take too much."""
    for (still, _), group in groupby(clips, key=lambda clip: (len(clip.frames) == 1, clip.kind)):
        members = tuple(group)
        if still:
            yield from (Part(members[i : i + STILLS]) for i in range(0, len(members), STILLS))
            continue
        for clip in members:
            height, width = snapshot.frame_size(clip)
            most = max(MEMORY // (4 * height * width), window)
            for first in range(0, len(clip.frames) - window + 1, most - window + 1):
                start = max(first - smoothing + 1, 0)
                cut = replace(clip, frames=clip.frames[start : first + most])
                yield Part((cut,), clip, start, first - start)


def read(
    snapshot: Snapshot, part: Part, how: Preprocessing
) -> Iterator[tuple[Part, NDArray[np.uint8]]]:
    """The frames of one clip, or the still images that follow each other and have one size."""
    decode = partial(snapshot.read_clip, image_size=None, channels=how.channels, levels=how.levels)
    if part.whole:
        yield part, decode(part.clips[0])
        return
    images = [(clip, decode(clip)) for clip in part.clips]
    for _, group in groupby(images, key=lambda image: image[1].shape):
        members = tuple(group)
        pixels = np.concatenate([image for _, image in members])
        yield Part(tuple(clip for clip, _ in members)), pixels


def _with_truth(
    snapshot: Snapshot,
    part: Part,
    frames: NDArray[np.uint8],
    prediction: Prediction,
    seconds: float,
) -> Scored:
    size = (frames.shape[-2], frames.shape[-1])
    owners = [(clip, frame) for clip in part.clips for frame in clip.frames]
    described = [owners[place] for place in prediction.frame_index]
    masks = _masks(snapshot, part, size)
    return Scored(
        still=part.whole is None,
        clips=tuple(clip.name for clip, _ in described),
        kinds=tuple(clip.kind for clip, _ in described),
        numbers=np.array([frame.index for _, frame in described]),
        frames=frames[prediction.frame_index],
        labels=_labels(snapshot, part)[prediction.frame_index],
        masks=None if masks is None else masks[prediction.frame_index],
        prediction=prediction,
        seconds=seconds,
    )


def _labels(snapshot: Snapshot, part: Part) -> NDArray[np.bool_]:
    if part.whole:
        return snapshot.labels(part.whole)[part.start : part.start + len(part.clips[0].frames)]
    return np.concatenate([snapshot.labels(clip) for clip in part.clips])


def _masks(snapshot: Snapshot, part: Part, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    unmarked_part = part.whole is not None and part.whole.has_masks
    masks = []
    for clip in part.clips:
        none = np.zeros((len(clip.frames), *size), dtype=bool)
        found = none if is_normal(clip.kind) else snapshot.read_masks(clip, size)
        if found is None and not unmarked_part:
            return None
        masks.append(none if found is None else found)
    return np.concatenate(masks)
