"""What lies in a data version: clips, frames, masks and labels, read from DVC and nowhere else.

Below ``data/<name>``: ``<split>/<kind>/<image>``, ``<split>/<kind>/<clip>/<frame>`` or
``<split>/<kind>/<clip>.mp4``. Split is ``train`` (kind ``good`` alone) or ``test`` (kinds ``good``
and ``good-<class>`` are normal, every other is anomalous). Ground truth:
``ground_truth/<kind>/<image>_mask.png``, ``ground_truth/<kind>/<clip>/<frame>.png``, or
``ground_truth/<kind>/<clip>.txt`` with a 0 or 1 for each frame. ``tasks/training/batches.py`` makes
batches of tensors of what is read here.

Shapes: T = frames, H W = image.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError
from tasks.data import decoding, dvc_cache, layout, versions
from tasks.data.kinds import is_normal
from tasks.data.versions import Entry
from tasks.packaging import preprocessing
from tasks.records import DataVersion


@dataclass(frozen=True)
class Frame:
    """One frame of a clip, or a still image."""

    entry: Entry
    """Its image file; all frames of a video file share one."""
    index: int
    """Number in its file name, or its position where there is none and in a video file."""
    mask: Entry | None
    """Its mask, if there is one."""


@dataclass(frozen=True)
class Clip:
    """Consecutive frames of one camera; a still image is a clip of one frame."""

    name: str
    """Kind and name, ``good/01``: the path below the split, without a suffix."""
    kind: str
    split: str
    frames: tuple[Frame, ...]
    is_video_file: bool = False
    label_file: Entry | None = None
    """``ground_truth/<kind>/<clip>.txt``, if there is one."""

    @property
    def has_masks(self) -> bool:
        """Whether any of its frames has a mask."""
        return any(frame.mask for frame in self.frames)


def is_video(clips: Iterable[Clip]) -> bool:
    """Whether any clip has more than one frame."""
    return any(len(clip.frames) > 1 for clip in clips)


def open_version(version: DataVersion) -> "Snapshot":
    """Read-only view of a data version, old or current.

    Raises:
        DataError: If DVC has lost its list of files.
    """
    return Snapshot(version, versions.entries(version))


class Snapshot:
    """A data version as it was; neither needs nor disturbs the working copy.

    Attributes:
        version: The data version.
        entries: Every file of it, sorted by path.
    """

    def __init__(self, version: DataVersion, entries: tuple[Entry, ...]) -> None:
        self.version = version
        self.entries = entries
        self._verified: dict[str, Path] = {}
        self._lengths: dict[str, int] = {}

    def path(self, entry: Entry) -> Path:
        """Readable bytes of a file, verified once; the name has no suffix.

        Raises:
            DataError: If they are lost or are no longer the same.
        """
        if entry.md5 not in self._verified:
            if not self._verified:  # one round trip for all that a fresh clone lacks
                dvc_cache.at_hand(*(each.md5 for each in self.entries))
            self._verified[entry.md5] = dvc_cache.verified(entry.md5, self._label(entry))
        return self._verified[entry.md5]

    def clips(self, split: str) -> tuple[Clip, ...]:
        """Clips of ``train`` or ``test``, sorted by name.

        Raises:
            DataError: If two of them have the same name.
        """
        return tuple(clip for clip in self._clips if clip.split == split)

    def read_clip(
        self, clip: Clip, image_size: tuple[int, int] | None, channels: int
    ) -> NDArray[np.uint8]:
        """Frames (T, H, W) of a clip for 1 channel, (T, 3, H, W) for 3.

        Raises:
            DataError: If a file is lost, cannot be decoded, or differs in size from the first.
        """
        name = self._label(clip.frames[0].entry)
        if clip.is_video_file:
            wanted = range(clip.frames[0].index, clip.frames[-1].index + 1)
            path = self.path(clip.frames[0].entry)
            frames = decoding.read_video(path, name, channels, wanted)
        else:
            frames = [
                decoding.read_image(self.path(frame.entry), self._label(frame.entry), channels)
                for frame in clip.frames
            ]
        decoding.check_sizes(frames, [self._label(frame.entry) for frame in clip.frames])
        stacked = np.stack(frames)
        return preprocessing.resize(stacked, image_size) if image_size else stacked

    def frame_size(self, clip: Clip) -> tuple[int, int]:
        """Height and width of a clip's first frame, before any resizing.

        Raises:
            DataError: If it cannot be decoded.
        """
        height, width = self.read_clip(replace(clip, frames=clip.frames[:1]), None, 1).shape[1:]
        return height, width

    def read_masks(
        self, clip: Clip, image_size: tuple[int, int] | None
    ) -> NDArray[np.bool_] | None:
        """Anomalous pixels (T, H, W); none in normal clips, None if nobody marked them.

        Raises:
            DataError: If a mask is lost, cannot be decoded, or differs in size from the first.
        """
        if is_normal(clip.kind):
            size = image_size or self.frame_size(clip)
            return np.zeros((len(clip.frames), *size), dtype=bool)
        marked = [(place, frame.mask) for place, frame in enumerate(clip.frames) if frame.mask]
        if not marked:
            return None
        masks = [decoding.read_mask(self.path(mask), self._label(mask)) for _, mask in marked]
        decoding.check_sizes(masks, [self._label(mask) for _, mask in marked])
        size = image_size or masks[0].shape
        result = np.zeros((len(clip.frames), *size), dtype=bool)
        for (place, _), mask in zip(marked, masks, strict=True):
            result[place] = decoding.resize_mask(mask, size)
        return result

    def labels(self, clip: Clip) -> NDArray[np.bool_]:
        """Which frames (T,) are anomalous.

        In a clip that is not normal: those with a 1 in its label file, else those whose mask is
        not empty, else, without any ground truth, all.

        Raises:
            DataError: If the label file does not fit, or a mask cannot be read.
        """
        if is_normal(clip.kind):
            return np.zeros(len(clip.frames), dtype=bool)
        if clip.label_file:
            return self._read_labels(clip, clip.label_file)
        if not clip.has_masks:
            return np.ones(len(clip.frames), dtype=bool)
        return np.array([self._is_marked(frame.mask) for frame in clip.frames])

    def _is_marked(self, mask: Entry | None) -> bool:
        return mask is not None and bool(
            decoding.read_mask(self.path(mask), self._label(mask)).any()
        )

    def _read_labels(self, clip: Clip, file: Entry) -> NDArray[np.bool_]:
        values = self.path(file).read_text(errors="replace").replace(",", " ").split()
        frames = self._siblings(clip)
        if len(values) != len(frames) or not set(values) <= {"0", "1"}:
            raise DataError(
                f"{self._label(file)} must hold a 0 or 1 for each of the {len(frames)} frames of "
                f"{clip.name}, got {len(values)} values. Correct it, then run 'unseen ingest'."
            )
        marked = {frame.index for frame, v in zip(frames, values, strict=True) if v == "1"}
        return np.array([frame.index in marked for frame in clip.frames])

    def _siblings(self, clip: Clip) -> tuple[Frame, ...]:
        """All frames of the clip that this one may be a part of."""
        whole = next(c for c in self._clips if (c.split, c.name) == (clip.split, clip.name))
        return whole.frames

    def _label(self, entry: Entry) -> str:
        return f"{self.version.name}/{entry.relpath}"

    @cached_property
    def _clips(self) -> tuple[Clip, ...]:
        members: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
        for entry in self.entries:
            if place := _place(entry):
                members[place].append(entry)
        return tuple(self._clip(*place, members[place]) for place in sorted(members))

    def _clip(self, split: str, kind: str, clip: str, members: list[Entry]) -> Clip:
        loose = [entry for entry in members if len(_parts(entry)) == 3]
        if loose and len(members) > 1:
            raise DataError(
                f"Clips and images must have different names, got {self._label(members[0])} and "
                f"{self._label(members[1])}. Rename one, then run 'unseen ingest'."
            )
        video = bool(loose) and PurePosixPath(loose[0].relpath).suffix.lower() in decoding.VIDEOS
        masks = {} if split == "train" else self._masks
        frames = (
            self._video_frames(members[0], masks, (kind, clip))
            if video
            else _image_frames(members, masks, (kind,) if loose else (kind, clip))
        )
        return Clip(
            f"{kind}/{clip}", kind, split, frames, video, self._label_files.get((kind, clip))
        )

    def _video_frames(
        self, entry: Entry, masks: dict[tuple[str, ...], Entry], prefix: tuple[str, ...]
    ) -> tuple[Frame, ...]:
        if entry.md5 not in self._lengths:
            path = self.path(entry)
            self._lengths[entry.md5] = decoding.count_frames(path, self._label(entry))
        numbered = {
            (*key[:-1], str(int(key[-1]))): m for key, m in masks.items() if key[-1].isdigit()
        }
        return tuple(
            Frame(entry, index, numbered.get((*prefix, str(index))))
            for index in range(self._lengths[entry.md5])
        )

    @cached_property
    def _masks(self) -> dict[tuple[str, ...], Entry]:
        """Mask images by kind, clip if any, and stem of the image."""
        found = {}
        for entry in self.entries:
            parts, path = _parts(entry), PurePosixPath(entry.relpath)
            if parts[0] == "ground_truth" and path.suffix.lower() in decoding.IMAGES:
                found[(*parts[1:-1], path.stem.removesuffix("_mask"))] = entry
        return found

    @cached_property
    def _label_files(self) -> dict[tuple[str, str], Entry]:
        """Label files by kind and clip."""
        return {
            (parts[1], parts[2].removesuffix(".txt")): entry
            for entry in self.entries
            if len(parts := _parts(entry)) == 3
            and parts[0] == "ground_truth"
            and parts[2].endswith(".txt")
        }

    def roi(self) -> NDArray[np.bool_] | None:
        """The region of interest (H, W), True where to look; None if the set has none."""
        found = [each for each in self.entries if layout.place(each.relpath).role == "roi"]
        return decoding.read_mask(self.path(found[0]), found[0].relpath) if found else None


def _parts(entry: Entry) -> tuple[str, ...]:
    return tuple(entry.relpath.split("/"))


def _place(entry: Entry) -> tuple[str, str, str] | None:
    """Split, kind and clip of an image or video file; None for every other file."""
    parts, path = _parts(entry), PurePosixPath(entry.relpath)
    suffix = path.suffix.lower()
    if parts[0] not in ("train", "test"):
        return None
    if len(parts) == 3 and suffix in decoding.IMAGES | decoding.VIDEOS:
        return parts[0], parts[1], path.stem
    if len(parts) == 4 and suffix in decoding.IMAGES:
        return parts[0], parts[1], parts[2]
    return None


def _image_frames(
    members: list[Entry], masks: dict[tuple[str, ...], Entry], prefix: tuple[str, ...]
) -> tuple[Frame, ...]:
    ordered = sorted(members, key=lambda entry: (frame_number(entry) or 0, entry.relpath))
    return tuple(
        Frame(entry, number if (number := frame_number(entry)) is not None else position, mask)
        for position, entry in enumerate(ordered)
        for mask in [masks.get((*prefix, PurePosixPath(entry.relpath).stem))]
    )


def frame_number(entry: Entry) -> int | None:
    """Last run of digits in the file's stem."""
    digits = re.findall(r"\d+", PurePosixPath(entry.relpath).stem)
    return int(digits[-1]) if digits else None
