"""The working copy of a data set beside what ``data.dvc`` names, and which of the two is newer.

Git changes ``data.dvc`` (pull, checkout, merge) and leaves ``data/`` as it was; a person changes
``data/`` and leaves ``data.dvc`` as it was. To tell them apart, what was in the working copy when
``data.dvc`` last had its say is noted, and the note counts as long as nobody has written
``data.dvc`` since. Without a note nothing is guessed: what would be lost is asked about.
"""

import json
import logging
from itertools import combinations
from pathlib import Path

from models.errors import DataError
from tasks.data import dvc_cache, embedded, staging, versions, write_version
from tasks.data.versions import Entry
from tasks.platform import files, workspace
from tasks.platform.progress import bar
from tasks.records import DataVersion

log = logging.getLogger(__name__)

NOTE = "working-copies.json"
MOST_SETS = 8
"""Folders in ``data/`` of which every choice is tried to find out what a lost list named."""


def settle(name: str, *, asked: bool, discard: bool = False) -> DataVersion:
    """Bring ``data/<name>`` and ``data.dvc`` together, without losing what nobody else has.

    Args:
        name: A set that has a working copy.
        asked: A person has named this set to be brought in; else it is about to be used.
        discard: Take what ``data.dvc`` names, whatever was changed in the working copy.

    Raises:
        DataError: If the working copy has changes that began from another version than the one
            ``data.dvc`` names, and nobody has said which to take.
    """
    named = _named(name)
    if named and discard:  # whatever became of the working copy
        check_out(name, named)
        return record(name)
    staging.copy_links(versions.folder() / name)
    staging.check_layout(versions.folder() / name)
    before = _noted().get(name)
    here = versions.hash_folder(versions.folder() / name)
    if named and here != named and before != versions.digest(named):  # else a person's edits
        _catch_up(name, here, named, asked=asked)
    return record(name)


def _catch_up(name: str, here: tuple[Entry, ...], named: tuple[Entry, ...], *, asked: bool) -> None:
    """Check out what ``data.dvc`` names where an earlier version lies, and touch no edits."""
    if versions.holder(name, versions.digest(here)):
        if dvc_cache.missing(entry.md5 for entry in here):
            versions.store(versions.folder() / name)
        check_out(name, named)
        log.warning(
            "data/%s held an earlier version, %s; data.dvc names %s, which was checked out.",
            name,
            versions.digest(here),
            versions.digest(named),
        )
    elif not asked:
        raise _unclear(name, named)


def record(name: str, came_from: str = "") -> DataVersion:
    """The version of ``data/<name>``, a new one only if its files are new.

    Args:
        name: The set.
        came_from: Where its files were imported from; empty if nobody has said it now.

    Raises:
        DataError: If ``data.dvc`` names a folder whose list of files is lost, and what is here
            does not tell what was in it.
    """
    path = versions.folder() / name
    staging.check_layout(path)
    noted, dvc_md5 = _noted(), versions.recorded()
    files = versions.hash_folder(path)
    if dvc_md5 and not dvc_cache.at_hand(dvc_md5):
        older = _mend(dvc_md5) or versions.holder(name, versions.digest(files))
        if older and older != dvc_md5 and not dvc_cache.missing(entry.md5 for entry in files):
            return versions.describe(name, files, older)
        if older != dvc_md5:
            embedded.recover(dvc_md5)
    version = None
    if dvc_md5 and _is_stored(files, versions.entries_at(dvc_md5, name)):
        version = versions.describe(name, files, dvc_md5)
    if version is None or (came_from and came_from != version.origin):
        version = versions.add(name, came_from)
    _note({**noted, name: version.digest})
    return version


def check_out(name: str, files: tuple[Entry, ...]) -> None:
    """Make ``data/<name>`` exactly these files, at once or not at all."""
    with staging.scratch() as scratch:
        write_version.write(files, scratch / name, bar)
        staging.move_in(scratch / name, name)


def _unclear(name: str, named: tuple[Entry, ...]) -> DataError:
    return DataError(
        f"data/{name} must be the version that data.dvc names, {versions.digest(named)}, or what a "
        "person has made of it; its files are in no version, and began from another one. Say "
        f"'unseen ingest {name}' to make them the next version, or 'unseen ingest {name} "
        "--discard' to take what data.dvc names and lose them."
    )


def _named(name: str) -> tuple[Entry, ...]:
    """Files of the set that ``data.dvc`` names; empty if none, or if their list is lost."""
    dvc_md5 = versions.recorded()
    if dvc_md5 is None or not (dvc_cache.at_hand(dvc_md5) or _mend(dvc_md5)):
        return ()
    return versions.entries_at(dvc_md5, name)


def _is_stored(files: tuple[Entry, ...], named: tuple[Entry, ...]) -> bool:
    return files == named and not dvc_cache.missing(entry.md5 for entry in files)


def _mend(dvc_md5: str) -> str | None:
    """Give DVC's cache a lost list of files and the files, if ``data/`` holds just those.

    Returns:
        ``dvc_md5``; None if no choice of the folders in ``data/`` has that md5.
    """
    top = versions.folder()
    found: dict[str, list[Entry]] = {}
    for entry in versions.hash_folder(top) if top.is_dir() else ():
        if not entry.relpath.startswith(staging.PREFIX):
            found.setdefault(entry.relpath.split("/")[0], []).append(entry)
    for count in range(len(found), 0, -1) if len(found) <= MOST_SETS else ():
        for chosen in combinations(sorted(found), count):
            files = [entry for part in chosen for entry in found[part]]
            if versions.digest(files) == dvc_md5:
                for part in chosen:
                    versions.store(top / part)
                versions.remember(files)
                log.warning("DVC's cache had lost %s; it has it again from data/.", dvc_md5)
                return dvc_md5
    return None


def _noted() -> dict[str, str]:
    """Digest of each set's working copy when ``data.dvc`` was last written, as far as noted."""
    try:
        note = json.loads((workspace.home() / NOTE).read_text())
        return dict(note["sets"]) if note["data_dvc"] == _stamp() else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _note(sets: dict[str, str]) -> None:
    path = workspace.home() / NOTE
    text = json.dumps({"data_dvc": _stamp(), "sets": sets}, sort_keys=True)
    if not path.exists() or path.read_text() != text:
        files.write(path, text)


def _stamp() -> list[int]:
    """What changes whenever ``data.dvc`` is written, be it with the same text."""
    status = Path(workspace.root() / "data.dvc").stat()
    return [status.st_mtime_ns, status.st_ino]
