"""The frames of a test split that are worth a look, kept while the scores stream by."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.pictures import Picture
from tasks.evaluation.scoring import Scored

PER_CLIP = 2
"""Frames of one clip, so that clips vary."""
APART = 15
"""Frames between two pictures of one clip, so that they differ."""


class Gallery:
    """The most anomalous frames, those normal ones that score highest, and what scores too low.

    Attributes:
        detected: Anomalous frames that score highest, highest first.
        alarming: Normal frames that score highest, highest first.
        missed: Anomalous frames that score lowest, lowest first.
    """

    def __init__(self, num_detected: int = 10, num_others: int = 5) -> None:
        self._sizes = (num_detected, num_others, num_others)
        self.detected: list[Picture] = []
        self.alarming: list[Picture] = []
        self.missed: list[Picture] = []

    def update(self, part: Scored) -> None:
        """Take in the next part of the test split."""
        score, labels = part.prediction.image_score, part.labels
        num_detected, num_alarming, num_missed = self._sizes
        self.detected = _merge(self.detected, _best(part, labels, score), num_detected, _highest)
        self.alarming = _merge(self.alarming, _best(part, ~labels, score), num_alarming, _highest)
        self.missed = _merge(self.missed, _best(part, labels, -score), num_missed, _lowest)

    def merge(self, other: "Gallery") -> None:
        """Take in what was kept of later parts of the test split."""
        num_detected, num_alarming, num_missed = self._sizes
        self.detected = _merge(self.detected, other.detected, num_detected, _highest)
        self.alarming = _merge(self.alarming, other.alarming, num_alarming, _highest)
        self.missed = _merge(self.missed, other.missed, num_missed, _lowest)

    def highlights(self, count: int) -> list[Picture]:
        """Detected frames of as many kinds and clips as possible."""
        chosen: list[Picture] = []
        for same in (lambda p: p.clip.split("/")[0], lambda p: p.clip, id):
            for picture in self.detected or self.alarming:
                seen = {same(each) for each in chosen}
                if len(chosen) < count and same(picture) not in seen:
                    chosen.append(picture)
        return chosen


def _highest(picture: Picture) -> float:
    return -picture.image_score


def _lowest(picture: Picture) -> float:
    return picture.image_score


def _merge(
    kept: Sequence[Picture],
    found: Sequence[Picture],
    count: int,
    order: Callable[[Picture], float],
) -> list[Picture]:
    chosen: list[Picture] = []
    per_clip: Counter[str] = Counter()
    for picture in sorted([*kept, *found], key=order):
        near = any(
            each.clip == picture.clip and abs((each.frame or 0) - (picture.frame or 0)) < APART
            for each in chosen
        )
        if len(chosen) < count and per_clip[picture.clip] < PER_CLIP and not near:
            chosen.append(picture)
            per_clip[picture.clip] += 1
    return chosen


def _best(part: Scored, among: NDArray[np.bool_], merit: NDArray[np.float64]) -> list[Picture]:
    """Pictures of the frames of greatest merit, at most ``PER_CLIP`` of a clip."""
    places: list[int] = []
    for place in np.argsort(-merit, kind="stable"):
        same = [each for each in places if part.clips[each] == part.clips[place]]
        near = any(abs(part.numbers[each] - part.numbers[place]) < APART for each in same)
        if among[place] and len(same) < PER_CLIP and not near:
            places.append(int(place))
    return [_picture(part, place) for place in places]


def _picture(part: Scored, place: int) -> Picture:
    """A copy, so that the rest of the part can be forgotten."""
    maps = part.prediction.anomaly_map
    return Picture(
        clip=part.clips[place],
        frame=None if part.still else int(part.numbers[place]),
        label=bool(part.labels[place]),
        image_score=float(part.prediction.image_score[place]),
        image=part.frames[place].copy(),
        anomaly_map=None if maps is None else maps[place].copy(),
        mask=None if part.masks is None else part.masks[place].copy(),
    )
