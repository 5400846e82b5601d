"""A track, and where tracks that were mined once are kept: below ``.unseen/tracks``.

Shapes: T = frames, C = channels or window, K = moments, S = side of a patch, N = tracks.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from tasks.platform import files, workspace

FOLDER = "tracks"
"""Below ``.unseen``; ``unseen prune`` empties it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """Something that moved, from the first to the last frame in which it was followed."""

    clip: str
    first: int
    """Position in the clip of the first frame."""
    centres: NDArray[np.float64]
    """Row and column of its middle in each frame, (T, 2)."""
    moments: tuple[int, ...]
    """Positions in the clip of the frames that the patches describe."""
    patches: NDArray[np.uint8]
    """What a model would see of it at these moments, (K, C, S, S)."""

    @property
    def last(self) -> int:
        """Position in the clip of the last frame."""
        return self.first + len(self.centres) - 1


def remembered(
    clip: str, settings: Mapping[str, object], find: Callable[[], Sequence[Track]]
) -> list[Track]:
    """Tracks of a part of a clip, found once for these settings.

    Following is deterministic, so what was found before a run was killed, for another seed or for
    another pretext task's settings need not be found again. A file that cannot be read counts as
    none.

    Args:
        clip: Name of the clip.
        settings: All that decides what is found, as JSON: which bytes, how they are followed, and
            the code that follows them.
        find: Finds the tracks.
    """
    path = _path(settings)
    try:
        return _read(path, clip)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        found = list(find())
    _write(path, found)
    return found


def _path(settings: Mapping[str, object]) -> Path:
    name = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]
    return workspace.home() / FOLDER / f"{name}.npz"


def _read(path: Path, clip: str) -> list[Track]:
    with np.load(path, allow_pickle=False) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    ends = np.cumsum(kept["lengths"])[:-1]
    return [
        Track(clip=clip, first=int(first), centres=way, moments=tuple(moments), patches=patches)
        for first, way, moments, patches in zip(
            kept["first"],
            np.split(kept["centres"], ends) if len(kept["first"]) else [],
            kept["moments"].tolist(),
            kept["patches"],
            strict=True,
        )
    ]


def _write(path: Path, tracks: Sequence[Track]) -> None:
    """Whole or not at all, so that a killed run leaves nothing that misleads the next."""
    path.parent.mkdir(exist_ok=True)
    with files.whole(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            first=np.array([track.first for track in tracks], dtype=np.int64),
            lengths=np.array([len(track.centres) for track in tracks], dtype=np.int64),
            centres=np.concatenate([np.empty((0, 2)), *(track.centres for track in tracks)]),
            moments=np.array([track.moments for track in tracks], dtype=np.int64),
            patches=np.array([track.patches for track in tracks], dtype=np.uint8),
        )
