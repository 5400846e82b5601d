"""Tracks: what moves through the normal clips, found by its motion and followed by a tracker.

Shapes: T = frames, C = channels or window, H W = frame, K = moments, S = side of a patch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.contracts import Progress, silent
from models.errors import DataError, InvalidInputError
from tasks.data.snapshots import Clip, Snapshot
from tasks.packaging import preprocessing
from tasks.platform import source_digests
from tasks.records import Training
from tasks.training.batches import identity
from tasks.training.pretext.motion import FILLED, Box, moving_boxes, moving_pixels, share_moving
from tasks.training.pretext.track_cache import Track, remembered

EVERY = 5
"""Frames from one search for something new to the next."""
SHORTEST = 10
"""Frames of a track at least."""
FARTHEST_OUT = 0.1
"""Share of a box that may be outside the frame: what leaves it is soon not to be seen."""
DISPLACED = 0.25
"""How far a track must lead, in sides of a patch: less shows the same background twice."""
RETURNS = 0.5
"""Overlap with its first box of a track that is followed back: less, and it changed over to
something else on its way."""
MOMENTS = 8
"""Patches that are cut from a track."""
PART = 256
"""Frames of a clip that are decoded at once; a track ends with its part."""
TRACKERS = ("TrackerKCF", "TrackerCSRT")
"""Trackers of OpenCV, best first: KCF is the paper's, CSRT follows as much, ten times slower."""
SURE = 0.3
"""Response below which KCF gives up; its own 0.5 loses walking people, and movement is checked."""


@dataclass(eq=False)
class _Followed:
    """A tracker at work."""

    tracker: Any
    first: int
    boxes: list[Box] = field(default_factory=list)
    seen_moving: int = 1
    """Boxes up to the last that was seen to hold something that moves."""


def mine(
    snapshot: Snapshot,
    clips: Sequence[Clip],
    training: Training,
    *,
    side: int,
    length: int,
    progress: Progress = silent,
) -> list[Track]:
    """Follow whatever moves in some clips, in order of clip and frame.

    What is found in a part of a clip is kept for the next time that it is asked for.

    Args:
        snapshot: Where the clips are read.
        clips: Normal clips.
        training: How frames become input of a model.
        side: Rows and columns S of a patch, in pixels.
        length: Frames of a track at most.
        progress: Shows the parts of the clips.

    Raises:
        DataError: If nothing moves, or a clip cannot be read.
        InvalidInputError: If the frames are smaller than a patch.
    """
    shortest = training.window + SHORTEST
    parts = [part for clip in clips for part in _parts(clip) if len(part[0].frames) >= shortest]
    found: list[Track] = []
    code = source_digests.version(_mine_part)
    for clip, first in progress(parts, total=len(parts), description="Tracks"):
        settings = {
            "frames": identity(clip),
            "first": first,
            "window": training.window,
            "channels": training.channels,
            "image_size": training.image_size,
            "side": side,
            "length": length,
            "opencv": cv2.__version__,
            "code": code,
        }
        search = partial(_mine_part, snapshot, clip, first, training, side=side, length=length)
        found += remembered(clip.name, settings, search)
    if not found:
        raise DataError(
            f"Video triplets need clips in which something moves for {SHORTEST} frames, and found "
            f"nothing to follow in {len(clips)} clips. Choose another pretext task, or add clips."
        )
    return found


def _mine_part(
    snapshot: Snapshot, part: Clip, first: int, training: Training, *, side: int, length: int
) -> list[Track]:
    frames = snapshot.read_clip(part, training.image_size, training.channels)
    if min(frames.shape[-2:]) < side:
        raise InvalidInputError(
            f"Frames must be at least as large as a patch of {side} x {side} pixels, got "
            f"{frames.shape[-2]} x {frames.shape[-1]} in {part.name}. Lower patch, or set "
            "image_size in the recipe."
        )
    window = training.window
    return tracks(part.name, frames, first=first, side=side, length=length, window=window)


def tracks(
    clip: str,
    frames: NDArray[np.uint8],
    *,
    first: int = 0,
    side: int,
    length: int,
    window: int,
) -> list[Track]:
    """What moves through decoded frames (T, H, W) or (T, C, H, W), and where.

    Args:
        clip: Its name.
        frames: Consecutive ones.
        first: Position of the first of them in the clip.
        side: Rows and columns S of a patch, in pixels; no more than those of the frames.
        length: Frames of a track at most.
        window: Frames that describe a moment.
    """
    gray = frames if frames.ndim == 3 else preprocessing.gray(frames)
    return [
        _track(clip, first, frames, followed, side, window)
        for followed in follow(gray, side, length, window - 1)
        if _leads_somewhere(followed, side) and _returns(followed, gray)
    ]


def follow(gray: NDArray[np.uint8], side: int, length: int, start: int = 0) -> list[_Followed]:
    """Follow whatever moves in frames (T, H, W), each thing once at a time.

    Args:
        gray: Consecutive frames.
        side: Height and width of what is followed, at most.
        length: Frames in which it is followed, at most.
        start: Position of the first frame in which anything may be found.
    """
    moves = cache(lambda t: moving_pixels(gray[t - 1], gray[t]))
    ended: list[_Followed] = []
    active: list[_Followed] = []
    start = max(start, 1)
    for t in range(start, len(gray)):
        image = cv2.cvtColor(gray[t], cv2.COLOR_GRAY2BGR)
        going = [each for each in active if _goes_on(each, image, length)]
        ended += [each for each in active if each not in going]
        active = going
        if (t - start) % EVERY == 0 or t == len(gray) - 1:
            for each in active:
                if share_moving(moves(t), each.boxes[-1]) >= FILLED:
                    each.seen_moving = len(each.boxes)
            for box in moving_boxes(moves(t), side) if t < len(gray) - SHORTEST else ():
                if not any(box.overlap(each.boxes[-1]) for each in active):
                    active.append(_Followed(_started(gray[t], box), t, [box]))
    return sorted(ended + active, key=lambda each: each.first)


def new_tracker() -> Any:
    """A fresh tracker, the first of ``TRACKERS`` that this OpenCV has.

    Raises:
        DataError: If it has none.
    """
    for name in TRACKERS:
        for room in (cv2, getattr(cv2, "legacy", None), getattr(cv2, "tracking", None)):
            create: Callable[..., Any] | None = getattr(room, f"{name}_create", None)
            if create:
                return create(*_patient(name, room))
    raise DataError(
        f"Tracks need one of OpenCV's {', '.join(TRACKERS)}, and OpenCV {cv2.__version__} has "
        "none. Install opencv-contrib-python-headless."
    )


def _patient(name: str, room: Any) -> tuple[Any, ...]:
    """Parameters of a tracker; none if they are its own."""
    if name != "TrackerKCF" or not hasattr(room, "TrackerKCF_Params"):
        return ()
    params = room.TrackerKCF_Params()
    params.detect_thresh = SURE
    return (params,)


def _parts(clip: Clip) -> Iterator[tuple[Clip, int]]:
    """The clip in parts that are decoded at once, with the position of their first frame."""
    for first in range(0, len(clip.frames), PART):
        yield replace(clip, frames=clip.frames[first : first + PART]), first


def _goes_on(followed: _Followed, image: NDArray[np.uint8], length: int) -> bool:
    """Take a step; False if the track is long enough, lost, or leaves the frame."""
    if len(followed.boxes) >= length:
        return False
    found, place = followed.tracker.update(image)
    box = Box(*(round(value) for value in place))
    if not found or box.width <= 0 or box.height <= 0:
        return False
    inside = share_moving(np.ones(image.shape[:2], dtype=bool), box)
    followed.boxes.append(box)
    return inside >= 1 - FARTHEST_OUT


def _leads_somewhere(followed: _Followed, side: int) -> bool:
    boxes = followed.boxes[: followed.seen_moving]
    way = np.subtract(boxes[-1].centre, boxes[0].centre)
    return len(boxes) >= SHORTEST and float(np.abs(way).max()) >= DISPLACED * side


def _returns(followed: _Followed, gray: NDArray[np.uint8]) -> bool:
    """Whether a tracker that starts at the end and goes back in time arrives where this began.

    The forward-backward error of Kalal, Mikolajczyk and Matas, 2010.
    """
    boxes = followed.boxes[: followed.seen_moving]
    last = followed.first + len(boxes) - 1
    back = _Followed(_started(gray[last], boxes[-1]), last, [boxes[-1]])
    for t in range(last - 1, followed.first - 1, -1):
        if not _goes_on(back, cv2.cvtColor(gray[t], cv2.COLOR_GRAY2BGR), len(boxes)):
            return False
    return back.boxes[-1].overlap(boxes[0]) >= RETURNS


def _started(frame: NDArray[np.uint8], box: Box) -> Any:
    tracker = new_tracker()
    tracker.init(
        cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR), (box.left, box.top, box.width, box.height)
    )
    return tracker


def _track(
    clip: str, first: int, frames: NDArray[np.uint8], followed: _Followed, side: int, window: int
) -> Track:
    boxes = followed.boxes[: followed.seen_moving]
    places = np.linspace(0, len(boxes) - 1, MOMENTS).round().astype(int).tolist()
    cut = partial(_patch, frames, side=side, window=window)
    return Track(
        clip=clip,
        first=first + followed.first,
        centres=np.array([box.centre for box in boxes]),
        moments=tuple(first + followed.first + place for place in places),
        patches=np.stack([cut(followed.first + place, boxes[place]) for place in places]),
    )


def _patch(
    frames: NDArray[np.uint8], t: int, box: Box, *, side: int, window: int
) -> NDArray[np.uint8]:
    """The input that describes frame t, cut to a square around a box, within the frame."""
    height, width = frames.shape[-2:]
    row, column = box.centre
    top = min(max(round(row - side / 2), 0), height - side)
    left = min(max(round(column - side / 2), 0), width - side)
    image = frames[t] if frames.ndim == 4 else frames[t - window + 1 : t + 1]
    return image[:, top : top + side, left : left + side]
