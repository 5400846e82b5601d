"""Describe: what kind of data set this is, from its paths, some headers and a few pixels.

It is cheap, so that a recipe can be chosen by it before anything is read in full.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from models.errors import NotFoundError
from tasks.data import dvc_cache, images, layout, versions, videos
from tasks.data.kinds import is_normal
from tasks.records import DataVersion

HEADERS, PIXELS = 48, 12
"""Files whose header is read, and images whose pixels are, spread over the whole set."""
COLOURFUL = 12
"""Difference of two channels, of 255, from which a pixel has a colour; JPEG stays below it."""
COLOURED = 0.001
"""Share of coloured pixels from which an image has colour."""
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class SetDescription:
    """What a data set consists of; a frame of a clip counts as an image, a video file does not."""

    clips: bool
    """Most of what ``train`` holds are clips: folders of frames, videos, or files of many pages."""
    colour: bool
    """Some of the sampled images have colour; JPEG files of gray images have none."""
    size: tuple[int, int] | None
    """Height and width that most of the sampled images have, in pixels; None without an image."""
    mixed_sizes: bool
    """The sampled images differ in size."""
    bits: int
    """Of one channel: 8, 16, or 32 for floating point; the most that was sampled."""
    num_train: int
    """Images and video files in ``train``."""
    num_train_frames: int
    """Images in ``train``; of videos the frames, as the headers of some say."""
    num_train_clips: int
    """Clips in it; 0 for still images."""
    num_test_normal: int
    """Images and video files in ``test`` of kinds that are normal."""
    num_test_anomalous: int
    """The others in ``test``."""
    kinds: tuple[str, ...]
    """Kinds in ``test``, sorted."""
    num_masks: int
    num_label_files: int
    roi: bool
    """A picture ``roi.png`` marks the region of interest."""

    @property
    def anomalies(self) -> bool:
        """Whether ``test`` has what is not normal, without which no figure of merit exists."""
        return self.num_test_anomalous > 0


def describe(what: DataVersion | Path) -> SetDescription:
    """Describe a data version, or a folder in our layout.

    Raises:
        NotFoundError: If there is no such folder.
        DataError: If a data version's list of files, or what is sampled of it, is lost.
    """
    if isinstance(what, DataVersion):
        md5s = {entry.relpath: entry.md5 for entry in versions.entries(what)}
        return _describe(md5s, lambda path: dvc_cache.locate(md5s[path], path))
    if not what.is_dir():
        raise NotFoundError(f"There is no folder {what}. Check the path.")
    files = [
        Path(folder, name).relative_to(what).as_posix()
        for folder, _, names in os.walk(what, followlinks=True)
        for name in names
    ]
    kept = (path for path in files if not layout.is_noise(path))
    return _describe(sorted(kept), lambda path: what / path)


def _describe(paths: Iterable[str], locate: Callable[[str], Path]) -> SetDescription:
    places = {path: layout.place(path) for path in paths}
    pictures = {path: it for path, it in places.items() if it.role in {"image", "video"}}
    train = {path: it for path, it in pictures.items() if it.split == "train"}
    test = [it for it in pictures.values() if it.split == "test"]
    roles = Counter(it.role for it in places.values())
    sample = sorted((train or pictures).items())
    seen = [
        look
        for path, it in _spread(sample, HEADERS)
        if (look := _look(locate(path), it.role)) is not None
    ]
    in_clips = [it for it in train.values() if it.clip]
    clips = len(in_clips) * 2 > len(train) or sum(look.pages > 1 for look in seen) * 2 > len(seen)
    sizes = Counter(look.size for look in seen)
    num_clips = len({it.clip for it in in_clips})
    return SetDescription(
        clips=clips,
        colour=any(_has_colour(locate(path), it.role) for path, it in _spread(sample, PIXELS)),
        size=sizes.most_common(1)[0][0] if sizes else None,
        mixed_sizes=len(sizes) > 1,
        bits=max((look.bits for look in seen), default=8),
        num_train=len(train),
        num_train_frames=round(len(train) * sum(look.pages for look in seen) / max(len(seen), 1)),
        num_train_clips=(num_clips or len(train)) if clips else 0,
        num_test_normal=sum(is_normal(it.kind or "") for it in test),
        num_test_anomalous=sum(not is_normal(it.kind or "") for it in test),
        kinds=tuple(sorted({it.kind or "" for it in test})),
        num_masks=roles["mask"],
        num_label_files=roles["labels"],
        roi=roles["roi"] > 0,
    )


def _look(path: Path, role: str) -> images.Header | None:
    """Header of an image or of the first frame of a video; None if it cannot be read."""
    try:
        return images.header(path) if role == "image" else videos.header(path)
    except (images.UnreadableError, OSError):
        return None


def _has_colour(path: Path, role: str) -> bool:
    try:
        read = images.read if role == "image" else videos.read_first
        red, green, blue = read(path, 3).astype(np.int16)
    except (images.UnreadableError, OSError):
        return False
    apart = np.maximum(abs(red - green), abs(green - blue)) >= COLOURFUL
    return bool(apart.mean() >= COLOURED)


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """Up to ``count`` of the items, evenly over all of them."""
    places = np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).astype(int))
    return [items[place] for place in places]
