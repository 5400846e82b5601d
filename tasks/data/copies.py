"""Training clips that show the same: they learn or calibrate together, and never from each other.

Which they are is found while a data version is validated, and kept below the workplace's folder.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from models.errors import DataError
from tasks.data import duplicates, layout
from tasks.data.duplicates import Fingerprint
from tasks.data.snapshots import Snapshot
from tasks.platform import files, workspace


def groups(snapshot: Snapshot) -> dict[str, str]:
    """The first clip of the group that each training clip belongs to, by name; most are alone.

    Clips are in one group if they have a frame with the same bytes, or are still images that show
    nearly the same.

    Args:
        snapshot: A data version.

    Raises:
        DataError: If its clips cannot be listed.
    """
    place = _place(snapshot)
    if not place.exists():
        remember(snapshot, _near(snapshot))
    clips = snapshot.clips("train")
    names = {clip.name: number for number, clip in enumerate(clips)}
    linked = [
        (names[a], names[b]) for a, b in json.loads(place.read_text()) if {a, b} <= set(names)
    ]
    owners = defaultdict(list)
    for number, clip in enumerate(clips):
        for md5 in {frame.entry.md5 for frame in clip.frames}:
            owners[md5].append(number)
    linked += [pair for same in owners.values() for pair in pairwise(same)]
    first = duplicates.groups(len(clips), linked)
    return {clip.name: clips[root].name for clip, root in zip(clips, first, strict=True)}


def remember(snapshot: Snapshot, pairs: Sequence[tuple[str, str]]) -> None:
    """Keep which still images of ``train`` show nearly the same.

    Args:
        snapshot: A data version.
        pairs: Their paths.
    """
    named = [[_name(path) for path in pair] for pair in pairs]
    place = _place(snapshot)
    place.parent.mkdir(parents=True, exist_ok=True)
    files.write(place, json.dumps(named))


def _near(snapshot: Snapshot) -> list[tuple[str, str]]:
    prints: dict[str, Fingerprint] = {}
    for clip in snapshot.clips("train"):
        if len(clip.frames) == 1 and not clip.is_video_file:
            try:
                [pixels] = snapshot.read_clip(clip, None, 1)
            except DataError:  # whoever trains on it will be told
                continue
            prints[clip.frames[0].entry.relpath] = duplicates.fingerprint(pixels)
    paths = list(prints)
    found = duplicates.pairs(list(prints.values()))
    return [(paths[left], paths[right]) for left, right in found]


def _name(path: str) -> str:
    place = layout.place(path)
    return f"{place.kind}/{place.stem}"


def _place(snapshot: Snapshot) -> Path:
    return workspace.home() / "copies" / f"{snapshot.version.digest}.json"
