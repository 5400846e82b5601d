"""What a served detector was shown: counts, histograms and moments, by model version, on disk.

One file for each version, ``.unseen/served/NAME/VERSION.npz``: arrays and JSON, nothing pickled,
replaced as a whole. It tells of all frames since the version began to serve, and of the recent ones
in blocks, the oldest of which is dropped when a new one begins.

Shapes: N = frames, D = features, J = bins.
"""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from models.functional.array_moments import ArrayMoments
from tasks.platform import files, workspace

BINS = 20
"""Bins of the histograms of p-values, equal parts of (0, 1], and of scores."""
BLOCK = 64
"""Frames from which a block is complete."""
RECENT = 8
"""Blocks that are recent, the unfinished one included."""
LONGEST_TIMELINE = 512
"""Points in time that are kept; beyond it, every second one is dropped."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one request showed a detector, and what the detector said."""

    p_value: NDArray[np.float64]
    """Shape (N,)."""
    image_score: NDArray[np.float64]
    """Shape (N,)."""
    num_alarms: int
    is_clip: bool
    """The frames belong together, so that they count as one observation; else each is its own."""
    features: tuple[NDArray[np.float32], ...] = ()
    """Feature vectors at some places of these frames, each of shape (_, D); none without a
    Gaussian."""


def together(stills: Sequence[Seen]) -> Seen:
    """What several requests for still images showed, as if it had been one."""
    if len(stills) == 1:
        return stills[0]
    features = [vectors for each in stills for vectors in each.features]
    return Seen(
        p_value=np.concatenate([each.p_value for each in stills]),
        image_score=np.concatenate([each.image_score for each in stills]),
        num_alarms=sum(each.num_alarms for each in stills),
        is_clip=False,
        features=(np.concatenate(features),) if features else (),
    )


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What statistics belong to: nothing else may be added to them."""

    name: str
    version: int
    digest: str
    """Of the model's bytes."""
    rate: float | None
    """False-alarm rate that alarms were raised by; None for the detector's own threshold."""


@dataclass(frozen=True)
class Point:
    """One point in time: the recent frames as they then were."""

    when: str
    frames: int
    """Seen until then."""
    distance: float | None
    alarm_rate: float


@dataclass(kw_only=True)
class Tally:
    """Counts of some frames."""

    frames: int = 0
    squares: float = 0.0
    """Sum of the squared lengths of clips."""
    alarms: int = 0
    p_values: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, dtype=np.int64))
    """Frames by p-value. Shape (J,)."""
    scores: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, dtype=np.int64))
    """Frames by image score; the first and the last bin have no outer end. Shape (J,)."""
    moments: ArrayMoments | None = None
    """Of the feature vectors."""

    @property
    def clips(self) -> float:
        """Effective number of clips: that of equally long ones which would tell as much."""
        return self.frames**2 / self.squares if self.squares else 0.0

    def add(self, seen: Seen, edges: NDArray[np.float64]) -> None:
        """Take in the frames of one request.

        Args:
            seen: The request.
            edges: Inner ends of the bins of scores.
        """
        num = len(seen.p_value)
        self.frames += num
        self.squares += num**2 if seen.is_clip else num
        self.alarms += seen.num_alarms
        places = np.ceil(seen.p_value * BINS).astype(int) - 1
        self.p_values += np.bincount(places.clip(0, BINS - 1), minlength=BINS)
        self.scores += np.bincount(np.digitize(seen.image_score, edges), minlength=BINS)
        for vectors in seen.features:
            self.moments = self.moments or ArrayMoments(vectors.shape[1])
            self.moments.update(vectors)

    def merge(self, other: "Tally") -> None:
        """Take in what another one has counted."""
        for name in ("frames", "squares", "alarms", "p_values", "scores"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if other.moments is not None:
            self.moments = self.moments or ArrayMoments(len(other.moments.mean))
            self.moments.merge(other.moments)


class Served:
    """All that is kept of one model version.

    Attributes:
        identity: The version.
        edges: Inner ends of the bins of scores. Shape (J - 1,).
        since: When it began to serve; UTC, ISO 8601.
        updated: When the last frames came.
        total: Of all frames since then.
        timeline: The recent frames at the end of each block.
    """

    def __init__(self, identity: Identity, edges: NDArray[np.float64]) -> None:
        self.identity, self.edges = identity, edges
        self.since = self.updated = now()
        self.total = Tally()
        self.blocks: deque[Tally] = deque([Tally()], maxlen=RECENT)
        self.timeline: list[Point] = []

    def add(self, seen: Seen) -> bool:
        """Take in the frames of one request; whether that completed a block."""
        one = Tally()
        one.add(seen, self.edges)
        if self.blocks[-1].frames >= BLOCK:
            self.blocks.append(Tally())
        before = self.blocks[-1].frames
        for tally in (self.total, self.blocks[-1]):
            tally.merge(one)
        self.updated = now()
        return before < BLOCK <= self.blocks[-1].frames

    def recent(self) -> Tally:
        """The frames of the last blocks."""
        found = Tally()
        for block in self.blocks:
            found.merge(block)
        return found

    def mark(self, distance: float | None) -> None:
        """Add the present to the timeline."""
        recent = self.recent()
        rate = recent.alarms / recent.frames
        self.timeline.append(Point(self.updated, self.total.frames, distance, rate))
        if len(self.timeline) > LONGEST_TIMELINE:
            self.timeline = self.timeline[1::2]

    def save(self, path: Path) -> None:
        """Replace the file by the present state, as a whole or not at all."""
        arrays: dict[str, NDArray[Any]] = {"edges": self.edges}
        tallies = {"total": self.total, **{f"block{k}": one for k, one in enumerate(self.blocks)}}
        for prefix, tally in tallies.items():
            arrays |= {f"{prefix}.{name}": value for name, value in _to_arrays(tally).items()}
        described = {
            "identity": asdict(self.identity),
            "since": self.since,
            "updated": self.updated,
            "timeline": [asdict(point) for point in self.timeline],
        }
        arrays["json"] = np.frombuffer(json.dumps(described).encode(), dtype=np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.whole(path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)


def load(path: Path) -> Served | None:
    """The state that ``Served.save`` wrote; None if there is none that can be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        described = json.loads(arrays["json"].tobytes())
        found = Served(Identity(**described["identity"]), arrays["edges"])
        found.since, found.updated = described["since"], described["updated"]
        found.timeline = [Point(**point) for point in described["timeline"]]
        found.total = _from_arrays(arrays, "total")
        num = len([name for name in arrays if name.startswith("block") and ".frames" in name])
        blocks = [_from_arrays(arrays, f"block{place}") for place in range(num)]
        found.blocks = deque(blocks, maxlen=RECENT)
    except (OSError, ValueError, KeyError, TypeError, BadZipFile, EOFError):
        return None
    return found


def path_of(name: str, version: int) -> Path:
    """Where the statistics of a version are kept."""
    return workspace.home() / "served" / name / f"{version}.npz"


def now() -> str:
    """The present time; UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _to_arrays(tally: Tally) -> dict[str, NDArray[Any]]:
    plain = {each.name: getattr(tally, each.name) for each in fields(tally)}
    del plain["moments"]
    found = {name: np.asarray(value) for name, value in plain.items()}
    if tally.moments is not None:
        found |= {f"moments.{name}": part for name, part in tally.moments.arrays().items()}
    return found


def _from_arrays(arrays: dict[str, NDArray[Any]], prefix: str) -> Tally:
    own = {
        name.removeprefix(f"{prefix}."): value
        for name, value in arrays.items()
        if name.startswith(f"{prefix}.")
    }
    parts = {name: own.pop(f"moments.{name}", None) for name in ("count", "mean", "scatter")}
    known = {name: value for name, value in parts.items() if value is not None}
    return Tally(
        frames=int(own["frames"]),
        squares=float(own["squares"]),
        alarms=int(own["alarms"]),
        p_values=own["p_values"],
        scores=own["scores"],
        moments=ArrayMoments.from_arrays(known) if known else None,
    )
