"""Judged pictures in a data set, and the predictions they come from: the note ``judged.json``.

It lies at the top of the data set, so that DVC versions it with the pictures: whoever has a data
version can say who brought a picture in, and why.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from models.errors import DataError
from tasks.data import dvc_cache
from tasks.data.versions import Entry

NOTE = "judged.json"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A picture that was scored, judged by a person, and brought into the data."""

    path: str
    """Below ``data/<name>``: its file, or the folder of a clip's frames."""
    picture: str
    """SHA-256 of its file; of a clip of several files, that of their digests."""
    prediction: str
    """Request id, ``:`` and the picture's place if there were several."""
    model: str
    version: int
    """Of the model that scored it."""
    verdict: str
    """``normal`` or ``defect``."""
    kind: str
    """Of a defect."""
    who: str
    when: str
    """When it was judged; UTC, ISO 8601."""

    def told(self) -> str:
        """In one line."""
        what = f"{self.verdict} {self.kind}".strip()
        return f"{what}, by {self.who}, {self.when[:19]}, of prediction {self.prediction}"


def of(entries: Iterable[Entry]) -> tuple[Judged, ...]:
    """The judged pictures that are in a data version, by its files; sorted by path.

    Raises:
        DataError: If its note is lost or damaged.
    """
    files = {entry.relpath: entry.md5 for entry in entries}
    if NOTE not in files:
        return ()
    folders = {path.rpartition("/")[0] for path in files}
    known = parse(dvc_cache.locate(files[NOTE], NOTE).read_text())
    return tuple(each for each in known if each.path in files or each.path in folders)


def parse(text: str) -> tuple[Judged, ...]:
    """The content of a note.

    Raises:
        DataError: If it is none.
    """
    try:
        return tuple(Judged(**each) for each in json.loads(text))
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{NOTE} must be the note that 'unseen absorb' writes, got: {error}. Take it from an "
            "earlier version of the data, or delete it."
        ) from error


def write(judged: Sequence[Judged]) -> str:
    """The content of a note about these pictures."""
    ordered = sorted(judged, key=lambda each: each.path)
    return json.dumps([asdict(each) for each in ordered], indent=1) + "\n"
