"""Clips: which files of a data set are the frames of one clip, or a still image, with what truth.

Where clips are expected, an image file of several pages is one; elsewhere its first page counts.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from models.errors import DataError
from tasks.data import layout
from tasks.data.layout import Place
from tasks.data.versions import Entry


@dataclass(frozen=True)
class Frame:
    """One frame of a clip, or a still image."""

    entry: Entry
    """Its image file; all frames of a video file share one."""
    index: int
    """Number in its file name, see ``layout.numbers``, or its position in a video file."""
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
    """All frames are in one file: a video, or an image of several pages."""
    label_file: Entry | None = None
    """``ground_truth/<kind>/<clip>.txt``, if there is one."""

    @property
    def has_masks(self) -> bool:
        """Whether any of its frames has a mask."""
        return any(frame.mask for frame in self.frames)


def is_video(clips: Iterable[Clip]) -> bool:
    """Whether any clip has more than one frame."""
    return any(len(clip.frames) > 1 for clip in clips)


class Arrangement:
    """The files of a data set, arranged in clips."""

    def __init__(
        self,
        places: Mapping[Entry, Place],
        pages: Mapping[Entry, int],
        count_frames: Callable[[Entry], int],
        label: Callable[[Entry], str],
    ) -> None:
        """Take what is known of the files.

        Args:
            places: What the path of each says.
            pages: Pages of each image.
            count_frames: Frames of a video, or pages that can be read; it may raise DataError.
            label: Name of a file in messages.
        """
        self._places, self._pages = places, pages
        self._count_frames, self._label = count_frames, label

    @cached_property
    def expects_clips(self) -> bool:
        """Whether most of ``train`` are clips: videos, folders of frames, files of many pages."""
        train = [
            place.clip is not None or self._pages[entry] > 1
            for entry, place in self._places.items()
            if place.split == "train" and place.role in {"image", "video"}
        ]
        return sum(train) * 2 > len(train)

    def has_pages(self, entry: Entry) -> bool:
        """Whether a file is an image of several pages that is read as a clip."""
        place = self._places[entry]
        loose = place.role == "image" and place.clip is None
        return loose and self._pages[entry] > 1 and self.expects_clips

    def clips(self) -> tuple[Clip, ...]:
        """All clips, sorted by split and name.

        Raises:
            DataError: If two of them have the same name, or a video cannot be read.
        """
        members: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
        for entry, place in self._places.items():
            if place.role in {"image", "video"}:
                split, kind = place.split or "", place.kind or ""
                members[split, kind, place.clip or f"{kind}/{place.stem}"].append(entry)
        return tuple(self._clip(*key, members[key]) for key in sorted(members))

    def _clip(self, split: str, kind: str, name: str, members: list[Entry]) -> Clip:
        places = [self._places[entry] for entry in members]
        if len(members) > 1 and any(it.role == "video" or it.clip is None for it in places):
            raise DataError(
                f"Clips and images must have different names, got {self._label(members[0])} and "
                f"{self._label(members[1])}. Rename one, then run 'unseen ingest'."
            )
        video = places[0].role == "video" or self.has_pages(members[0])
        frames = (
            self._video_frames(members[0], split, name)
            if video
            else self._image_frames(members, split)
        )
        return Clip(name, kind, split, frames, video, self._label_files.get(name))

    def _video_frames(self, entry: Entry, split: str, name: str) -> tuple[Frame, ...]:
        numbered = {} if split == "train" else self._masks_of_clips.get(name, {})
        return tuple(
            Frame(entry, index, numbered.get(index)) for index in range(self._count_frames(entry))
        )

    def _image_frames(self, members: list[Entry], split: str) -> tuple[Frame, ...]:
        ordered = sorted(members, key=lambda entry: layout.natural(self._places[entry].stem))
        places = [self._places[entry] for entry in ordered]
        known = {} if split == "train" else self._masks
        numbers = layout.numbers([place.stem for place in places])
        return tuple(
            Frame(entry, number, known.get((place.kind, place.clip, place.stem)))
            for entry, place, number in zip(ordered, places, numbers, strict=True)
        )

    @cached_property
    def _masks(self) -> dict[tuple[str | None, str | None, str], Entry]:
        """Masks by kind, clip if any, and stem of the image."""
        return {
            (place.kind, place.clip, place.stem): entry
            for entry, place in self._places.items()
            if place.role == "mask"
        }

    @cached_property
    def _masks_of_clips(self) -> dict[str, dict[int, Entry]]:
        """Masks whose names are numbers, by clip and number."""
        found: dict[str, dict[int, Entry]] = defaultdict(dict)
        for (_, clip, stem), entry in self._masks.items():
            if clip and stem.isdecimal():
                found[clip][int(stem)] = entry
        return found

    @cached_property
    def _label_files(self) -> dict[str, Entry]:
        """Label files by clip."""
        return {
            place.clip: entry
            for entry, place in self._places.items()
            if place.role == "labels" and place.clip
        }
