"""The layout of a data set: what the path of a file says of it, and what its name says of order.

``<split>/<kind>/<image>``, ``<split>/<kind>/<clip>/<frame>`` or ``<split>/<kind>/<clip>.mp4``; a
clip's folder may lie deeper: ``train/good/camera1/monday/0001.png`` is a frame of the clip
``good/camera1/monday``. Ground truth: ``ground_truth/<kind>/<image>_mask.png``,
``ground_truth/<kind>/<clip>/<frame>.png``, or ``ground_truth/<kind>/<clip>.txt`` with a 0 or 1 for
each frame. ``roi.png`` marks the region of interest of all images, or
``roi.json`` does, with polygons.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import PurePosixPath

from PIL import features

from tasks.data.kinds import NORMAL

IMAGES = frozenset(
    {".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm"}
    | {".tif", ".tiff", ".webp"}
    | ({".jp2", ".j2k"} if features.check("jpg_2000") else set())
    | ({".avif"} if features.check("avif") else set())
)
"""Suffixes of image files that Pillow decodes here."""
VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
"""Suffixes of video files."""
UNREADABLE = frozenset({".heic", ".heif", ".jp2", ".j2k", ".avif", ".dng", ".cr2", ".nef"}) - IMAGES
"""Suffixes of images that no library decodes here."""
MEDIA = IMAGES | VIDEOS | UNREADABLE
"""Suffixes of what people mean to be looked at."""
SPLITS = ("train", "test")
TRUTH = "ground_truth"
LIKE_NORMAL = frozenset(
    {"good", "goods", "ok", "okay", "normal", "normals", "nominal", "pass", "fine"}
)
"""Names of kinds, in small letters, by which people mean normal images."""
LIKE_FOLDERS = {
    "ground_truth": {
        "ground_truth",
        "groundtruth",
        "ground-truth",
        "gt",
        "mask",
        "masks",
        "labels",
    },
    "train": {"train", "training"},
    "test": {"test", "testing", "tests", "val", "valid", "validation"},
}
"""Names of folders, in small letters, by which people mean those of the layout."""
IGNORED = (".DS_Store", "._*", "Thumbs.db", "desktop.ini", "@eaDir", "__MACOSX")
"""Names, as patterns, of what file managers leave in folders; those that ``.dvcignore`` holds."""


@dataclass(frozen=True)
class Place:
    """What a path alone says of a file."""

    role: str
    """``image``, ``video``, ``mask``, ``labels`` or ``roi``; ``note`` for a text beside the splits,
    ``truth`` for what is not understood in ``ground_truth/``, ``other`` for all that has no
    place."""
    split: str | None = None
    """``train`` or ``test``; ground truth belongs to ``test``."""
    kind: str | None = None
    clip: str | None = None
    """Kind and name of the clip, ``good/01``; None for a still image and its mask."""
    stem: str = ""
    """What an image and its mask have in common."""


def place(relpath: str) -> Place:
    """Role, split, kind and clip of a file, by its path below the folder of its data set.

    An umlaut that one file system spells with one character and another with two is the same.
    """
    relpath = unicodedata.normalize("NFC", relpath)
    parts, path = relpath.split("/"), PurePosixPath(relpath)
    role = _role(parts, path.suffix.lower())
    if role in {"other", "truth", "note", "roi"}:
        return Place(role)
    stem = path.stem.removesuffix("_mask") if role == "mask" else path.stem
    folder = "/".join(parts[1:-1])
    clip = folder if len(parts) > 3 else None
    if role in {"video", "labels"}:
        clip = f"{folder}/{path.stem}"
    split = "test" if parts[0] == TRUTH else parts[0]
    return Place(role, split, parts[1], clip, stem)


def _role(parts: list[str], suffix: str) -> str:
    if len(parts) == 1:
        if (suffix in IMAGES or suffix == ".json") and parts[0].lower().startswith("roi."):
            return "roi"
        return "other" if suffix in MEDIA else "note"
    roles = {**dict.fromkeys(IMAGES, "image"), **dict.fromkeys(VIDEOS, "video")}
    if parts[0] == TRUTH:
        roles = {**dict.fromkeys(IMAGES, "mask"), ".txt": "labels"}
    elif parts[0] not in SPLITS:
        return "other"
    unknown = "truth" if parts[0] == TRUTH else "other"
    return roles.get(suffix, unknown) if len(parts) >= 3 else unknown


def natural(name: str) -> tuple[tuple[str, int, str], ...]:
    """Sorts names as people do: ``frame2`` before ``frame10``, whatever their zeros."""
    runs = re.findall(r"(\D*)(\d*)", name)
    return tuple((text, int(number or -1), number) for text, number in runs)


def numbers(stems: Sequence[str]) -> list[int]:
    """The number of each frame of a clip, given the names of all its files in natural order.

    It is the last group of digits that rises from file to file: that of ``cam2_0017_v3`` after
    ``cam2_0016_v3`` is 17. Where no group does, frames are counted from 0.
    """
    groups = [[int(run) for run in re.findall(r"\d+", stem)] for stem in stems]
    if len({len(group) for group in groups}) == 1:
        for column in reversed(list(zip(*groups, strict=True))):
            if all(low < high for low, high in pairwise(column)):
                return list(column)
    return list(range(len(stems)))


def is_noise(relpath: str) -> bool:
    """Whether a path is of what file managers leave behind, or hidden."""
    parts = relpath.split("/")
    return any(fnmatchcase(part, name) for part in parts for name in (".*", *IGNORED))


def hint(relpath: str) -> str | None:
    """What is probably not meant about the place of a file; None if it is as it should be."""
    parts, suffix = relpath.split("/"), PurePosixPath(relpath).suffix.lower()
    role = place(relpath).role
    if role == "image" and parts[1] != NORMAL and parts[1].lower() in LIKE_NORMAL:
        return f"the kind {parts[1]!r} counts as anomalous; normal images belong in '{NORMAL}'"
    return _why_not_read(parts, suffix) if role == "other" else None


def _why_not_read(parts: list[str], suffix: str) -> str:
    top = parts[0]
    if suffix in UNREADABLE:
        return f"no library here reads {suffix} files; save it as PNG"
    if len(parts) > 1 and top not in SPLITS:
        meant = next((name for name, names in LIKE_FOLDERS.items() if top.lower() in names), None)
        return f"the folder {top!r} is not read" + (f"; is it '{meant}'?" if meant else "")
    if suffix not in IMAGES | VIDEOS:
        return f"{suffix or 'without a suffix, it'} is no image or video"
    if len(parts) == 1:
        return f"images belong in train/{NORMAL}/ and test/<kind>/"
    if len(parts) == 2:
        return f"it lies in {top}/ itself; images belong in a folder of it, {top}/{NORMAL}/"
    return "video files belong in the folder of their kind"
