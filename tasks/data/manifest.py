"""The manifest of a data version: one row per file, with what its bytes turned out to be.

Every file is read, whatever is wrong with it: a file that is lost, empty, no image or a
decompression bomb is a row too, whose column ``problem`` says why it is of no use.
"""

import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.contracts import Progress, silent
from models.errors import DataError
from tasks.data import (
    copies,
    duplicates,
    dvc_cache,
    images,
    judged,
    layout,
    masks,
    relations,
    videos,
)
from tasks.data.duplicates import Fingerprint
from tasks.data.images import UnreadableError
from tasks.data.kinds import is_normal
from tasks.data.rows import Row
from tasks.data.snapshots import Clip, Snapshot
from tasks.data.versions import Entry


def read(snapshot: Snapshot, progress: Progress = silent) -> pd.DataFrame:
    """The manifest of a data version; its columns are the fields of ``Row``.

    Args:
        snapshot: The data version.
        progress: Shows the pass over its files.

    Raises:
        DataError: If DVC's remote holds the bytes and does not answer.
    """
    dvc_cache.at_hand(*(entry.md5 for entry in snapshot.entries))
    steps = progress(snapshot.entries, total=len(snapshot.entries), description="Checking files")
    prints: dict[str, Fingerprint] = {}
    rows = [_read(snapshot, entry, prints) for entry in steps]
    labels, faults = _labels(snapshot)
    for row in rows:
        if row.role in {"image", "video"}:
            row.label = labels.get(row.path, labels.get(row.split or ""))
        elif row.role == "labels" and row.num_bytes is not None:
            row.problem = faults.get(row.path)
            row.decodes = row.problem is None
    _tell_origins(rows, snapshot)
    relations.relate(rows)
    copies.remember(snapshot, relations.compare(rows, prints))
    columns = [field.name for field in fields(Row)]
    return pd.DataFrame([vars(row) for row in rows], columns=columns)


def _tell_origins(rows: list[Row], snapshot: Snapshot) -> None:
    try:
        origins = {each.path: each.told() for each in judged.of(snapshot.entries)}
    except DataError as error:
        note = next(row for row in rows if row.path == judged.NOTE)
        note.hint = str(error)
        return
    for row in rows:
        row.origin = origins.get(row.path) or origins.get(row.path.rpartition("/")[0])


def _read(snapshot: Snapshot, entry: Entry, prints: dict[str, Fingerprint]) -> Row:
    place = layout.place(entry.relpath)
    row = Row(path=entry.relpath, md5=entry.md5, role=place.role, split=place.split)
    row.kind, row.clip, row.hint = place.kind, place.clip, layout.hint(entry.relpath)
    if place.role == "image" and snapshot.has_pages(entry):
        row.role, row.clip = "video", f"{place.kind}/{place.stem}"
    if place.role == "mask" and place.clip and place.stem.isdecimal():
        row.frame = int(place.stem)
    decoded = row.role in {"image", "video", "mask", "roi"}
    try:
        path = dvc_cache.locate(entry.md5, f"{snapshot.version.name}/{entry.relpath}")
        row.num_bytes = path.stat().st_size
        row.md5_read = dvc_cache.file_md5(path)
        if decoded:
            row.decodes = False
            _measure(row, path, snapshot, prints)
    except (UnreadableError, DataError, OSError) as error:
        row.problem = str(error)
        row.num_frames = 0 if decoded else None
    return row


def _measure(row: Row, path: Path, snapshot: Snapshot, prints: dict[str, Fingerprint]) -> None:
    if row.role == "video":
        row.num_frames, row.mode = videos.count_frames(path), "video"
        row.frame_rate = videos.frame_rate(path)
        middle = row.num_frames // 2
        [pixels] = videos.read(path, 1, range(middle, middle + 1), snapshot.levels)
    elif row.path.lower().endswith(".json"):
        row.num_frames, row.num_pages, row.bits, row.mode = 1, 1, 8, "polygons"
        pixels = _mask(row, masks.read(path))
    else:
        with images.opened(path) as image:
            header, row.mode = images.header_of(image), image.mode
            row.num_frames, row.num_pages, row.bits = 1, header.pages, header.bits
            picture = images.decoded(image, path)
        if row.role == "image":
            pixels = images.to_channels(picture, 1, snapshot.levels)
        else:
            pixels = _mask(row, masks.of(picture))
    row.height, row.width = pixels.shape
    if row.role in {"image", "video"}:
        row.mean, row.contrast = _moments(pixels)
    if row.role == "image" and row.clip is None:
        prints[row.path] = duplicates.fingerprint(pixels)
    row.decodes = True
    row.size = f"{row.width}x{row.height}"
    row.format = f"{row.size} {row.mode}"


def _mask(row: Row, mask: masks.Mask) -> NDArray[np.uint8]:
    """The pixels of a mask that can be meant, and what is doubtful about it."""
    row.marked, row.mask_levels = mask.share, mask.levels
    if row.role == "mask" and mask.share == 1:
        raise UnreadableError("it marks every pixel: bright is marked, and transparency is ignored")
    if mask.share == 0 and row.role == "roi":
        raise UnreadableError("it marks no pixel: what is bright is looked at")
    row.doubt = masks.doubt(mask, normal=is_normal(row.kind or "good"), still=row.clip is None)
    return mask.marked.astype(np.uint8)


def _moments(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean and standard deviation of gray levels, in units of the whole range.

    Sums are those of integers, so that the deviation of a constant image is 0 and not almost 0.
    """
    counts = np.bincount(pixels.ravel(), minlength=256)
    num, levels = int(counts.sum()), np.arange(256)
    total, squares = int(counts @ levels), int(counts @ levels**2)
    return total / num / 255, math.sqrt(num * squares - total**2) / num / 255


def _labels(snapshot: Snapshot) -> tuple[dict[str, str], dict[str, str]]:
    """Label of each image and video, or of a whole split; what is wrong with label files."""
    labels: dict[str, str] = {}
    faults: dict[str, str] = {}
    for split in ("train", "test"):
        try:
            clips = snapshot.clips(split)
        except DataError:  # a damaged video or two clips of one name, which other columns tell
            labels[split] = "unknown"
            continue
        for clip in clips:
            labels |= _labels_of(snapshot, clip, faults)
    return labels, faults


def _labels_of(snapshot: Snapshot, clip: Clip, faults: dict[str, str]) -> dict[str, str]:
    try:
        names = np.where(snapshot.labels(clip), "anomalous", "normal").tolist()
    except DataError as error:
        names = ["unknown"] * len(clip.frames)
        if clip.label_file:
            faults[clip.label_file.relpath] = str(error.__cause__ or error)
    if clip.is_video_file:
        label = names[0] if len(set(names)) == 1 else "mixed"
        return {clip.frames[0].entry.relpath: label}
    return {f.entry.relpath: name for f, name in zip(clip.frames, names, strict=True)}
