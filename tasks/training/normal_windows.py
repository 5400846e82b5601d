"""How far windows of normal frames are from what a detector learned: what drift is compared with.

Frames of one clip resemble each other, so that even a long window of one normal clip is some way
off the Gaussian of all of them. How far, is measured clip by clip: of clips that were held out
directly, and of clips that were learned from against what was learned from the others.

A window is a clip, or a part of one that is very long, or a group of still images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.capabilities import Observable
from models.contracts import Detector
from models.functional.array_moments import ArrayMoments
from models.functional.drift import Reference, reference_distance, sampled_places
from tasks.data.snapshots import Clip, Snapshot
from tasks.packaging.network import reference_of
from tasks.records import Training
from tasks.training import inputs
from tasks.training.batches import Batches
from tasks.training.inputs import Normal

LONGEST = 512
"""Frames of one window."""
ENOUGH = 8
"""Windows below which long clips are cut into several."""
MOST = 32
"""Windows that are measured."""
MOST_INPUTS = 16
"""Inputs of a window that are looked at, evenly spread over it: neighbours tell little more."""

PLACES = 64
"""Places of an input that are looked at."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Normal frames that belong together."""

    clips: tuple[Clip, ...]
    """One clip or part of a clip, or still images."""
    num_frames: int
    """Inputs that it spans."""


def measure(
    model: Detector,
    snapshot: Snapshot,
    normal: Normal,
    training: Training,
) -> dict[str, NDArray[np.float64]]:
    """Squared Fréchet distance and length of windows of normal frames, as ``Calibration`` has them.

    Args:
        model: Fitted.
        snapshot: The data version.
        normal: Clips that its statistics are made of, and others.
        training: How images are read.

    Returns:
        ``window_distance`` and ``window_frames``; empty if the model has no Gaussian.
    """
    if not isinstance(model, Observable) or (reference := reference_of(model)) is None:
        return {}
    learned = normal.clips
    held_out = normal.calibration_clips if normal.calibration is not None else ()
    total = sum(_length(clip, training.window) for clip in (*learned, *held_out))
    span = min(LONGEST, max(total // ENOUGH, 1))
    known, other = (cut(clips, training.window, span) for clips in (learned, held_out))
    share = max(-(-(len(known) + len(other)) // MOST), 1)
    known, other = known[::share], other[::share]
    seen = [moments(model, snapshot, window, training) for window in known]
    distances = list(_left_out(seen, reference))
    frames = [window.num_frames for window in known] if distances else []
    for window in other:
        distances.append(reference_distance(moments(model, snapshot, window, training), reference))
        frames.append(window.num_frames)
    return {
        "window_distance": np.array(distances, dtype=np.float64),
        "window_frames": np.array(frames, dtype=np.float64),
    }


def cut(clips: Sequence[Clip], window: int, span: int) -> list[Window]:
    """Windows of at least ``span`` frames where clips are that long, else whole clips.

    Args:
        clips: Normal clips or still images, in order.
        window: Consecutive frames that make one input.
        span: Wanted length.
    """
    found, stills = [], [clip for clip in clips if len(clip.frames) == window == 1]
    for clip in clips:
        length = _length(clip, window)
        if clip in stills or not length:
            continue
        parts = max(length // span, 1)
        edges = [length * part // parts for part in range(parts + 1)]
        for first, last in pairwise(edges):
            piece = replace(clip, frames=clip.frames[first : last + window - 1])
            found.append(Window(clips=(piece,), num_frames=last - first))
    groups = max(len(stills) // span, min(len(stills), 1))
    for group in range(groups):
        members = stills[len(stills) * group // groups : len(stills) * (group + 1) // groups]
        found.append(Window(clips=tuple(members), num_frames=len(members)))
    return found


def moments(
    model: Observable, snapshot: Snapshot, window: Window, training: Training
) -> ArrayMoments:
    """Moments of the feature vectors at some places of some frames of a window."""
    stride = -(-window.num_frames // MOST_INPUTS)
    clips = window.clips[::stride] if len(window.clips) > 1 else window.clips
    batches = Batches(snapshot, clips, stride=stride, **inputs.reading(training))
    draw = np.random.default_rng(0)
    found: ArrayMoments | None = None
    for images in batches:
        features = model.observe(images).features.detach().cpu().numpy()
        vectors = sampled_places(features, PLACES, draw)
        found = found or ArrayMoments(vectors.shape[-1])
        found.update(vectors)
    assert found is not None
    return found


def _left_out(seen: Sequence[ArrayMoments], reference: Reference) -> Iterator[float]:
    """Distance of each window from all others; none if there are no others."""
    for place, one in enumerate(seen if len(seen) > 1 else ()):
        rest = ArrayMoments(len(one.mean))
        for other, each in enumerate(seen):
            if other != place:
                rest.merge(each)
        yield reference_distance(
            one, Reference(rest.mean, rest.scatter / rest.count, reference.whitener)
        )


def _length(clip: Clip, window: int) -> int:
    return max(len(clip.frames) - window + 1, 0)
