"""The manifest of a data version: one row per file, with what its bytes turned out to be.

Every file is read, whatever is wrong with it: a file that is lost, empty, no image or a
decompression bomb is a row too, whose column ``problem`` says why it is of no use.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.contracts import Progress, silent
from models.errors import DataError
from tasks.data import decoding, dvc_cache
from tasks.data.kinds import is_normal
from tasks.data.snapshots import Snapshot, frame_number
from tasks.data.versions import Entry


@dataclass(kw_only=True)
class Row:
    """One file. What does not apply to it, or could not be read, is None."""

    path: str
    """Below ``data/<name>``, with forward slashes."""
    role: str
    """``image``, ``video``, ``mask``, ``labels``, or ``other`` for what has no place."""
    split: str | None = None
    """``train`` or ``test``."""
    kind: str | None = None
    clip: str | None = None
    """Kind and name, ``good/01``; None for still images and their masks."""
    frame: int | None = None
    """Number of the frame in its clip."""
    label: str | None = None
    """``normal`` or ``anomalous``; ``mixed`` for a video file that holds both; None if its ground
    truth cannot be read, ``unknown`` if the clips of its split cannot even be listed."""
    md5: str
    """As the data version has it."""
    md5_read: str | None = None
    """Of the bytes that were read."""
    num_bytes: int | None = None
    decodes: bool | None = None
    """Whether image, mask or video can be decoded; None if there are no bytes of one to decode."""
    num_frames: int | None = None
    """1 for an image, more for a video file, 0 if it does not decode."""
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    """Pillow's name of the pixel format, ``video`` for a video file."""
    mean: float | None = None
    """Mean gray level in [0, 1]; of a video file, that of its middle frame."""
    contrast: float | None = None
    """Standard deviation of the gray levels, in [0, 0.5]; 0 for a constant image."""
    problem: str | None = None
    """Why it cannot be read."""
    size: str | None = None
    """``360x240``."""
    format: str | None = None
    """Size and mode, ``360x240 L``."""
    format_of_clip: str | None = None
    """The most frequent one in its clip."""
    clip_length: int | None = None
    """Frames of its clip; None for still images."""
    step: int | None = None
    """Frame numbers from the frame before it in the clip."""
    rival: str | None = None
    """Another file with the same split, kind and name, where names must differ."""
    twin: str | None = None
    """An image or video of the other split with the same bytes."""
    belongs_to: str | None = None
    """The image or video of a mask, the clip of a label file."""
    size_of_owner: str | None = None
    """Size of a mask's image or video."""
    has_truth: bool | None = None
    """Whether there is a mask or label file for it, if its kind has any."""

    @property
    def stem(self) -> str:
        """What a mask and its image have in common."""
        stem = PurePosixPath(self.path).stem
        return stem.removesuffix("_mask") if self.role == "mask" else stem


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
    rows = [_read(snapshot, entry) for entry in steps]
    labels = _labels(snapshot)
    for row in rows:
        if row.role in ("image", "video"):
            row.label = labels.get(row.path, labels.get(row.split or ""))
    _relate(rows)
    columns = [field.name for field in fields(Row)]
    return pd.DataFrame([vars(row) for row in rows], columns=columns)


def _read(snapshot: Snapshot, entry: Entry) -> Row:
    row = Row(path=entry.relpath, md5=entry.md5, **_place(entry))
    name = f"{snapshot.version.name}/{entry.relpath}"
    decoded = row.role in ("image", "video", "mask")
    try:
        path = dvc_cache.locate(entry.md5, name)
        row.num_bytes = path.stat().st_size
        row.md5_read = dvc_cache.file_md5(path)
        if decoded:
            row.decodes = False
            _measure(row, path, name)
    except (DataError, OSError) as error:
        row.problem = str(error)
        row.num_frames = 0 if decoded else None
    return row


def _measure(row: Row, path: Path, name: str) -> None:
    if row.role == "video":
        row.num_frames, row.mode = decoding.count_frames(path, name), "video"
        middle = row.num_frames // 2
        [pixels] = decoding.read_video(path, name, 1, range(middle, middle + 1))
        row.height, row.width = pixels.shape
    else:
        image = decoding.open_image(path, name)
        row.num_frames, row.mode, (row.width, row.height) = 1, image.mode, image.size
        pixels = np.empty(0, np.uint8) if row.role == "mask" else decoding.to_pixels(image, name, 1)
    if pixels.size:
        row.mean, row.contrast = _moments(pixels)
    row.decodes = True
    row.size = f"{row.width}x{row.height}"
    row.format = f"{row.size} {row.mode}"


def _moments(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean and standard deviation of gray levels, in units of the whole range.

    Sums are those of integers, so that the deviation of a constant image is 0 and not almost 0.
    """
    counts = np.bincount(pixels.ravel(), minlength=256)
    num, levels = int(counts.sum()), np.arange(256)
    total, squares = int(counts @ levels), int(counts @ levels**2)
    return total / num / 255, math.sqrt(num * squares - total**2) / num / 255


def _place(entry: Entry) -> dict[str, Any]:
    """Role, split, kind, clip and frame of a file, from its path alone."""
    parts, path = entry.relpath.split("/"), PurePosixPath(entry.relpath)
    role = _role(parts, path.suffix.lower())
    if role == "other":
        return {"role": role}
    clip = f"{parts[1]}/{parts[2]}" if len(parts) == 4 else None
    if role in ("video", "labels"):
        clip = f"{parts[1]}/{path.stem}"
    return {
        "role": role,
        "split": "test" if parts[0] == "ground_truth" else parts[0],
        "kind": parts[1],
        "clip": clip,
        "frame": frame_number(entry) if len(parts) == 4 else None,
    }


def _role(parts: list[str], suffix: str) -> str:
    is_image = suffix in decoding.IMAGES
    if parts[0] in ("train", "test"):
        if is_image and len(parts) in (3, 4):
            return "image"
        return "video" if suffix in decoding.VIDEOS and len(parts) == 3 else "other"
    if parts[0] == "ground_truth":
        if is_image and len(parts) in (3, 4):
            return "mask"
        return "labels" if suffix == ".txt" and len(parts) == 3 else "other"
    return "other"


def _labels(snapshot: Snapshot) -> dict[str, str]:
    """Label of each image and video, or of a whole split; unreadable ones are absent."""
    return {
        path: label for split in ("train", "test") for path, label in _labels_of(snapshot, split)
    }


def _labels_of(snapshot: Snapshot, split: str) -> Iterator[tuple[str, str]]:
    try:
        clips = snapshot.clips(split)
    except DataError:  # a damaged video or two clips of one name, which other columns tell
        yield split, "unknown"
        return
    for clip in clips:
        try:
            labels = snapshot.labels(clip)
        except DataError:
            continue
        names = np.where(labels, "anomalous", "normal").tolist()
        if clip.is_video_file:
            yield clip.frames[0].entry.relpath, names[0] if len(set(names)) == 1 else "mixed"
        else:
            yield from ((f.entry.relpath, n) for f, n in zip(clip.frames, names, strict=True))


def _relate(rows: Sequence[Row]) -> None:
    """Fill in what a file can only have in relation to others."""
    pictures = [row for row in rows if row.role in ("image", "video")]
    clips = defaultdict(list)
    for row in pictures:
        if row.role == "image" and row.clip:
            clips[row.split, row.clip].append(row)
        elif row.role == "video":
            row.clip_length = row.num_frames
    for frames in clips.values():
        _relate_frames(frames)
    _find_rivals(pictures)
    _find_twins(pictures)
    truth = [row for row in rows if row.role in ("mask", "labels")]
    tests = [row for row in pictures if row.split == "test"]
    _find_owners(truth, tests)
    _find_truth(truth, tests)


def _relate_frames(frames: list[Row]) -> None:
    frames.sort(key=lambda row: (row.frame or 0, row.path))
    formats = Counter(row.format for row in frames if row.format)
    for before, row in zip([None, *frames], frames, strict=False):
        row.clip_length = len(frames)
        row.format_of_clip = formats.most_common(1)[0][0] if formats else None
        if before and before.frame is not None and row.frame is not None:
            row.step = row.frame - before.frame


def _find_rivals(pictures: Sequence[Row]) -> None:
    members = defaultdict(list)
    for row in pictures:
        members[row.split, row.clip or f"{row.kind}/{row.stem}"].append(row)
    for rows in members.values():
        alone = [row for row in rows if row.path.count("/") == 2]
        for row in alone if len(rows) > 1 else ():
            row.rival = next(other.path for other in rows if other is not row)


def _find_twins(pictures: Sequence[Row]) -> None:
    other = {"train": "test", "test": "train"}
    first = {(row.split, row.md5): row.path for row in reversed(pictures)}
    for row in pictures:
        row.twin = first.get((other[row.split or ""], row.md5))


def _find_owners(truth: Sequence[Row], tests: Sequence[Row]) -> None:
    images = {(row.kind, row.clip, row.stem): row for row in tests if row.role == "image"}
    clips = {row.clip: row for row in tests if row.clip}
    for row in truth:
        clip = clips.get(row.clip or "")
        if row.role == "labels":
            row.belongs_to = clip.clip if clip else None
            continue
        owner = images.get((row.kind, row.clip, row.stem))
        if clip and clip.role == "video" and (row.frame or 0) < (clip.num_frames or 0):
            owner = clip
        if owner:
            row.belongs_to = owner.path
            row.size_of_owner = owner.size


def _find_truth(truth: Sequence[Row], tests: Sequence[Row]) -> None:
    kinds = {row.kind for row in truth if not is_normal(row.kind or "")}
    owners = {row.belongs_to for row in truth} | {row.clip for row in truth}
    for row in tests:
        if row.kind in kinds:
            row.has_truth = (row.clip or row.path) in owners
