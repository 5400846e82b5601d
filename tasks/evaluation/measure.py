"""Measure: score a test split, or a part of it, and keep what evaluation needs of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.contracts import Progress
from models.metrics import detection
from tasks.data import snapshots
from tasks.evaluation import clusters, put_in
from tasks.evaluation.gallery import Gallery
from tasks.evaluation.scoring import Scored, scored
from tasks.packaging.detector import Packaged
from tasks.records import DataVersion

COLUMNS = ["clip", "kind", "frame", "label", "image_score", "p_value", "pixel_score"]


@dataclass
class Measured:
    """What is known of a test split, or of consecutive parts of it, after it was scored."""

    scores: pd.DataFrame
    """One row per frame; ``pixel_score`` settles the pixel-level criterion, NaN without masks."""
    is_video: bool
    put_in: bool
    """Its anomalies are defects that were put in, because it had none of its own."""
    pixels: detection.PixelRoc
    """Of all pixels of still images with masks."""
    gallery: Gallery
    members: clusters.Members
    num_scored: int
    """Frames that were scored now: calibration images in the place of normal ones were not."""
    seconds: float
    """That scoring took, without reading; of shards, the longest."""
    elapsed: float
    """With reading, decoding and measuring."""


def measure(
    version: DataVersion, packaged: Packaged, progress: Progress, share: range | None = None
) -> Measured:
    """Score the test split of a data version.

    Args:
        version: Data.
        packaged: A detector.
        progress: Shows the parts.
        share: Places of the parts to score, as ``scoring.weights`` counts them; all if None.

    Raises:
        DataError: If the test split cannot be read, or is shorter than the detector's window.
    """
    snapshot = snapshots.open_version(version)
    clips = snapshot.clips("test")
    is_video = snapshots.is_video(clips or snapshot.clips("train"))
    judged = put_in.wanted(snapshot)
    pixels, gallery, members = detection.PixelRoc(), Gallery(), clusters.Members()
    tables, num_scored, seconds, started = [], 0, 0.0, time.perf_counter()
    if not clips:
        tables.append(put_in.calibration_rows(packaged))
    for part in chain(
        scored(snapshot, clips, packaged, progress, share) if clips else (),
        put_in.scored(snapshot, packaged, progress) if judged else (),
    ):
        tables.append(_table(part))
        gallery.update(part)
        members.update(part)
        num_scored += len(part.labels)
        seconds += part.seconds
        maps = part.prediction.anomaly_map
        if not is_video and maps is not None and part.masks is not None:
            pixels.update(maps, part.masks)
    return Measured(
        scores=pd.concat(tables, ignore_index=True),
        is_video=is_video,
        put_in=judged,
        pixels=pixels,
        gallery=gallery,
        members=members,
        num_scored=num_scored,
        seconds=seconds,
        elapsed=time.perf_counter() - started,
    )


def joined(shards: Sequence[Measured], elapsed: float) -> Measured:
    """What one pass would have found, from passes over consecutive parts, in order.

    Args:
        shards: At least one.
        elapsed: Seconds that all of it took.
    """
    pixels, gallery, members = detection.PixelRoc(), Gallery(), clusters.Members()
    for each in shards:
        pixels.merge(each.pixels)
        gallery.merge(each.gallery)
        members.merge(each.members)
    return Measured(
        scores=pd.concat([each.scores for each in shards], ignore_index=True),
        is_video=shards[0].is_video,
        put_in=shards[0].put_in,
        pixels=pixels,
        gallery=gallery,
        members=members,
        num_scored=sum(each.num_scored for each in shards),
        seconds=max(each.seconds for each in shards),
        elapsed=elapsed,
    )


def _table(part: Scored) -> pd.DataFrame:
    found = part.prediction
    columns = (
        part.clips,
        part.kinds,
        part.numbers,
        part.labels.astype(int),
        found.image_score,
        found.p_value,
        _pixel_scores(part),
    )
    table = pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
    if found.soft_assignment is not None:
        table["cluster"] = found.soft_assignment.argmax(axis=1)
    return table


def _pixel_scores(part: Scored) -> NDArray[np.float64]:
    """NaN where there is no map, no mask, or a mask that contradicts the label."""
    maps = part.prediction.anomaly_map
    if maps is None or part.masks is None:
        return np.full(len(part.clips), np.nan)
    values = detection.pixel_level_scores(maps, part.masks)
    return np.where(part.masks.any(axis=(1, 2)) == part.labels, values, np.nan)
