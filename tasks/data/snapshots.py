"""What lies in a data version: clips, frames, masks and labels, read from DVC and nowhere else.

``layout`` says what the path of a file means. Split is ``train`` (kind ``good`` alone) or ``test``
(kinds ``good`` and ``good-<class>`` are normal, every other is anomalous). ``batches`` makes
batches of tensors of what is read here.

Shapes: T = frames, H W = image.
"""

import statistics
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.data import decoding, dvc_cache, images, layout, masks, value_range, versions, videos
from tasks.data.clips import Arrangement, Clip, Frame, is_video
from tasks.data.kinds import is_normal
from tasks.data.versions import Entry
from tasks.packaging import preprocessing
from tasks.packaging.preprocessing import Levels
from tasks.records import DataVersion

__all__ = ["Clip", "Frame", "Snapshot", "is_video", "open_version"]


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
        self._places = {entry: layout.place(entry.relpath) for entry in entries}

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
        self,
        clip: Clip,
        image_size: tuple[int, int] | None,
        channels: int,
        levels: Levels | Literal["own"] | None = "own",
    ) -> NDArray[np.uint8]:
        """Frames (T, H, W) of a clip for 1 channel, (T, 3, H, W) for 3.

        Args:
            clip: What to read.
            image_size: Height and width to resize to; None keeps the frames' own.
            channels: 1 or 3.
            levels: Range of channels of more than 8 bits, that of the version unless another is
                given: a model of an earlier version must see images as it was trained on them.

        Raises:
            DataError: If a file is lost, cannot be decoded, or differs in size from the first.
        """
        scale = self.levels if levels == "own" else levels
        name = self._label(clip.frames[0].entry)
        if clip.is_video_file:
            wanted = range(clip.frames[0].index, clip.frames[-1].index + 1)
            path = self.path(clip.frames[0].entry)
            frames = decoding.read_video(path, name, channels, wanted, scale)
        else:
            frames = [
                decoding.read_image(
                    self.path(frame.entry), self._label(frame.entry), channels, scale
                )
                for frame in clip.frames
            ]
        decoding.check_sizes(frames, [self._label(frame.entry) for frame in clip.frames])
        stacked = np.stack(frames)
        return preprocessing.resize(stacked, image_size) if image_size else stacked

    @cached_property
    def levels(self) -> Levels | None:
        """Black and white of its images of more than 8 bits; None if there are none."""
        deep = [entry.md5 for entry, (bits, _) in self._headers.items() if bits > 8]
        return value_range.find(tuple(map(dvc_cache.cached_path, deep))) if deep else None

    @cached_property
    def frame_rate(self) -> float | None:
        """Frames per second of the training videos, the median; None if none of them says.

        Raises:
            DataError: If a file is lost.
        """
        files = {clip.frames[0].entry for clip in self.clips("train") if clip.is_video_file}
        rates = []
        for entry in files:
            with decoding.named(self._label(entry), "a video that OpenCV can decode"):
                rates.append(videos.frame_rate(self.path(entry)))
        known = [rate for rate in rates if rate]
        return round(statistics.median_low(known), 3) if known else None

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
        found = [decoding.read_mask(self.path(mask), self._label(mask)) for _, mask in marked]
        decoding.check_sizes(found, [self._label(mask) for _, mask in marked])
        size = image_size or found[0].shape
        result = np.zeros((len(clip.frames), *size), dtype=bool)
        for (place, _), mask in zip(marked, found, strict=True):
            result[place] = masks.resize(mask, size)
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
        frames = self._siblings(clip)
        values = decoding.read_labels(self.path(file), self._label(file), len(frames))
        marked = {frame.index for frame, value in zip(frames, values, strict=True) if value}
        return np.array([frame.index in marked for frame in clip.frames])

    def _siblings(self, clip: Clip) -> tuple[Frame, ...]:
        """All frames of the clip that this one may be a part of."""
        whole = next(c for c in self._clips if (c.split, c.name) == (clip.split, clip.name))
        return whole.frames

    def roi(self) -> NDArray[np.bool_] | None:
        """The region of interest (H, W), True where to look; None if the set has none.

        Raises:
            DataError: If it is lost or cannot be decoded.
        """
        found = [entry for entry, place in self._places.items() if place.role == "roi"]
        return decoding.read_mask(self.path(found[0]), self._label(found[0])) if found else None

    def _label(self, entry: Entry) -> str:
        return f"{self.version.name}/{entry.relpath}"

    @cached_property
    def _headers(self) -> dict[Entry, tuple[int, int]]:
        """Bits and pages of every image; 8 and 1 of what cannot be read."""
        pictures = [entry for entry, place in self._places.items() if place.role == "image"]
        dvc_cache.at_hand(*(entry.md5 for entry in pictures))
        lacking = set(dvc_cache.missing(entry.md5 for entry in pictures))
        return {
            entry: images.quick_header(dvc_cache.cached_path(entry.md5))
            if entry.md5 not in lacking
            else (8, 1)
            for entry in pictures
        }

    @cached_property
    def expects_clips(self) -> bool:
        """Whether most of ``train`` are clips: videos, folders of frames, files of many pages."""
        return self._arrangement.expects_clips

    def has_pages(self, entry: Entry) -> bool:
        """Whether a file is an image of several pages that is read as a clip."""
        return self._arrangement.has_pages(entry)

    @cached_property
    def _arrangement(self) -> Arrangement:
        pages = {entry: count for entry, (_, count) in self._headers.items()}
        return Arrangement(self._places, pages, self._count_frames, self._label)

    @cached_property
    def _clips(self) -> tuple[Clip, ...]:
        return self._arrangement.clips()

    def _count_frames(self, entry: Entry) -> int:
        if entry.md5 not in self._lengths:
            path = self.path(entry)
            self._lengths[entry.md5] = decoding.count_frames(path, self._label(entry))
        return self._lengths[entry.md5]
