"""Drift of what is served: the statistics of a version, compared with what is normal for it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.functional import drift
from models.functional.drift import Reference, reference_distance
from models.metrics.intervals import clopper_pearson
from tasks.packaging.detector import Packaged
from tasks.serving.monitoring.served_statistics import BINS, BLOCK, RECENT, Point, Served, Tally

FEWEST_FRAMES = 32
"""Frames below which nothing is said."""


@dataclass(frozen=True, kw_only=True)
class Norm:
    """What a packaged detector says of normal frames."""

    reference: Reference | None
    """Its Gaussian; None if it has none."""
    limit: float | None
    """Squared Fréchet distance that normal frames may have; None if nothing vouches for one."""
    typical: float | None
    """That of normal windows, in the median."""
    wanted: int
    """Frames of a window that can be compared."""
    num_calibration: int
    """Clips behind the p-values."""
    rate: float
    """Share of normal frames that the threshold promises to call anomalous, at most."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Frames that were served, and how they differ from normal ones."""

    frames: int
    clips: float
    """Effective number of clips that they come from."""
    alarms: int
    alarm_rate: float | None
    alarm_rate_low: float | None
    """Clopper and Pearson's interval, of 95%, in which clips count and not frames."""
    alarm_rate_high: float | None
    distance: float | None
    """Squared Fréchet distance from the training images, in the detector's units."""
    uniformity: float | None
    """Kolmogorov and Smirnov's statistic of the p-values, in [0, 1]."""
    uniformity_p_value: float | None
    p_values: tuple[int, ...]
    """Frames by p-value, in equal bins of (0, 1]."""
    scores: tuple[int, ...]
    """Frames by image score."""


@dataclass(frozen=True, kw_only=True)
class DriftReport:
    """Whether a served version still sees what it has learned."""

    model: str
    version: int
    verdict: str
    """``drift``, ``no drift`` or ``not enough yet``: of the recent frames."""
    why: str
    since: str
    updated: str
    recent: Shown
    overall: Shown
    limit: float | None
    typical: float | None
    wanted: int
    promised_alarm_rate: float
    score_edges: tuple[float, ...]
    """Inner ends of the bins of scores."""
    timeline: tuple[Point, ...]
    lost: int = 0
    """Requests that were answered and not counted, because too many came at once."""


def norm_of(packaged: Packaged, rate: float | None) -> Norm:
    """What is normal for a detector.

    Args:
        packaged: The detector.
        rate: False-alarm rate that it is served with; None for its own threshold.
    """
    calibration, limit, typical, wanted = packaged.calibration, None, None, 0
    distances, frames = calibration.window_distance, calibration.window_frames
    if distances is not None and frames is not None and len(distances):
        typical, wanted = float(np.median(distances)), int(np.median(frames))
        if len(distances) >= drift.FEWEST_WINDOWS:
            limit = drift.normal_limit(distances)
    own = float((calibration.image_score >= packaged.threshold).mean())
    return Norm(
        reference=packaged.reference,
        limit=limit,
        typical=typical,
        wanted=min(max(wanted, FEWEST_FRAMES), (RECENT - 1) * BLOCK),
        num_calibration=calibration.num_clips,
        rate=own if rate is None else rate,
    )


def score_edges(packaged: Packaged) -> NDArray[np.float64]:
    """Inner ends of the bins of scores: those of calibration images, and as far again above."""
    scores = packaged.calibration.image_score
    low, high = float(scores.min()), float(scores.max())
    return np.linspace(low, high + max(high - low, 1e-6), BINS - 1)


def compare(served: Served, norm: Norm, lost: int = 0) -> DriftReport:
    """Say whether the recent frames have drifted, and tell all that speaks for it."""
    recent, overall = shown(served.recent(), norm), shown(served.total, norm)
    found = drift.judge(
        num_frames=recent.frames,
        wanted=norm.wanted,
        distance=recent.distance,
        limit=norm.limit,
        p_value=1.0 if recent.uniformity_p_value is None else recent.uniformity_p_value,
    )
    return DriftReport(
        model=served.identity.name,
        version=served.identity.version,
        verdict=found.verdict,
        why=found.why,
        since=served.since,
        updated=served.updated,
        recent=recent,
        overall=overall,
        limit=norm.limit,
        typical=norm.typical,
        wanted=norm.wanted,
        promised_alarm_rate=norm.rate,
        score_edges=tuple(served.edges.tolist()),
        timeline=tuple(served.timeline),
        lost=lost,
    )


def shown(tally: Tally, norm: Norm) -> Shown:
    """Counted frames beside what is normal."""
    rate = low = high = statistic = p_value = None
    if tally.frames:
        rate = tally.alarms / tally.frames
        low, high = clopper_pearson(rate * tally.clips, tally.clips)
        counts = tally.p_values.astype(np.float64)
        statistic, p_value = drift.uniformity(counts, tally.clips, norm.num_calibration)
    return Shown(
        frames=tally.frames,
        clips=tally.clips,
        alarms=tally.alarms,
        alarm_rate=rate,
        alarm_rate_low=low,
        alarm_rate_high=high,
        distance=distance_of(tally, norm),
        uniformity=statistic,
        uniformity_p_value=p_value,
        p_values=tuple(tally.p_values.tolist()),
        scores=tuple(tally.scores.tolist()),
    )


def distance_of(tally: Tally, norm: Norm) -> float | None:
    """Squared Fréchet distance of counted frames; None if there is nothing to compare."""
    if norm.reference is None or tally.moments is None or not tally.moments.count:
        return None
    return reference_distance(tally.moments, norm.reference)


def from_json(described: dict[str, Any]) -> DriftReport:
    """The report that ``dataclasses.asdict`` described, such as ``GET /drift`` answers it."""
    values = dict(described)
    for name in ("recent", "overall"):
        lists = {key: tuple(values[name][key]) for key in ("p_values", "scores")}
        values[name] = Shown(**{**values[name], **lists})
    values["timeline"] = tuple(Point(**point) for point in values["timeline"])
    values["score_edges"] = tuple(values["score_edges"])
    return DriftReport(**values)
