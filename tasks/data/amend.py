"""Amend: a few files of a data set added or taken away, as a new version, or nothing at all."""

import shutil
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from tasks.data import staging, versions, working_copy
from tasks.data.announce import announce
from tasks.data.ingest import ingest
from tasks.data.versions import Changes
from tasks.platform import files
from tasks.records import DataVersion


def amend(
    name: str, add: Mapping[str, Path], remove: Iterable[str] = (), notes: Mapping[str, str] = {}
) -> tuple[DataVersion, Changes]:
    """Change a data set in place; what was there before is a version of it, too.

    Args:
        name: The data set; edits that a person has made in ``data/`` become a version first.
        add: Where files come from, by the path that they get below ``data/<name>``.
        remove: Paths of files.
        notes: Texts by path, written before the files they tell of.

    Returns:
        The new version, and what changed.

    Raises:
        DataError: If it cannot be made; then ``data/<name>`` is as it was.
    """
    with versions.lock():
        before = versions.entries(ingest.fn(name))
        target = versions.folder() / name
        with staging.scratch() as scratch, ExitStack() as undoing:
            for number, source in enumerate(add.values()):
                shutil.copyfile(source, scratch / str(number))
            for relpath, text in notes.items():
                _aside(target / relpath, scratch / "former" / relpath, undoing)
                undoing.callback((target / relpath).unlink, missing_ok=True)
                files.write(target / relpath, text, folder=scratch)
            for relpath in remove:
                _aside(target / relpath, scratch / "former" / relpath, undoing)
            for number, relpath in enumerate(add):
                place = target / relpath
                place.parent.mkdir(parents=True, exist_ok=True)
                undoing.callback(place.unlink, missing_ok=True)
                (scratch / str(number)).rename(place)
            version = working_copy.record(name)
            undoing.pop_all()
    changes = versions.compare(before, versions.entries(version))
    if changes:
        announce(version, changes)
    return version, changes


def _aside(path: Path, former: Path, undoing: ExitStack) -> None:
    """Take a file away, and bring it back if what follows fails."""
    if not path.exists():
        return
    former.parent.mkdir(parents=True, exist_ok=True)
    path.rename(former)
    undoing.callback(former.rename, path)
