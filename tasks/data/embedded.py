"""Embedded sets on a machine that has no copy: generated again, and DVC confirms their md5."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from models.errors import DataError
from tasks.data import dvc_cache, staging, versions
from tasks.data.sources import catalog
from tasks.data.versions import Entry
from tasks.platform.progress import bar

log = logging.getLogger(__name__)


def regenerate(name: str) -> None:
    """Write an embedded set to ``data/<name>``, exactly as ``data.dvc`` names it.

    If DVC has no list of the files that ``data.dvc`` names, every embedded set that it covers is
    generated, because only together do they have an md5 to compare. ``data.dvc`` is not changed.

    Raises:
        DataError: If the files have another md5 than ``data.dvc`` says.
    """
    dvc_md5 = versions.recorded()
    if dvc_md5 and not dvc_cache.at_hand(dvc_md5):
        recover(dvc_md5, older_with=name)
        if (versions.folder() / name).is_dir():
            return
    expected = versions.entries_at(dvc_md5, name) if dvc_md5 else ()
    with staging.scratch() as scratch:
        made = _generate(name, scratch)
        if expected and made != expected:
            raise _mismatch(name, versions.digest(expected), versions.digest(made))
        staging.move_in(scratch / name, name)


def recover(dvc_md5: str, *, older_with: str | None = None) -> None:
    """Find out what ``dvc_md5`` names by generating the embedded sets, and put them into place.

    Args:
        dvc_md5: The md5 in ``data.dvc``, whose list of files is lost.
        older_with: An embedded set for which an earlier commit of ``data.dvc`` is good enough,
            if the last one covers more than embedded sets.

    Raises:
        DataError: If no embedded sets have this md5 together.
    """
    earlier = set(versions.history()) if older_with else set()
    fitting: Mapping[str, Sequence[Entry]] = {}
    tried = ""
    with versions.lock(), staging.scratch() as scratch:
        for sets in _candidates(older_with, scratch):
            tried = versions.digest(versions.joined(sets))
            if tried == dvc_md5 or (tried in earlier and older_with in sets):
                fitting = sets
            if tried == dvc_md5:
                break
        if not fitting:
            raise _mismatch("data/", dvc_md5, tried)
        _put_in_place(fitting, scratch)
    if tried != dvc_md5:
        log.warning(
            "data.dvc names %s, whose list of files is neither in DVC's cache nor in a remote. %s "
            "is what an earlier commit of data.dvc names.",
            dvc_md5,
            older_with,
        )


def _candidates(first: str | None, scratch: Path) -> Iterator[dict[str, tuple[Entry, ...]]]:
    """Every choice of embedded sets, generated one by one, ``first`` first; all of them last."""
    made: dict[str, tuple[Entry, ...]] = {}
    for newest in sorted(catalog.EMBEDDED, key=lambda name: name != first):
        others = tuple(made)
        made[newest] = _generate(newest, scratch)
        for count in range(len(others) + 1):
            for chosen in combinations(others, count):
                yield {name: made[name] for name in (*chosen, newest)}


def _generate(name: str, scratch: Path) -> tuple[Entry, ...]:
    catalog.generate(name, scratch / name, bar)
    return versions.hash_folder(scratch / name)


def _put_in_place(sets: Mapping[str, Sequence[Entry]], scratch: Path) -> None:
    """Let DVC's cache hold the sets and their list, and ``data/`` those that it lacks."""
    versions.remember(versions.joined(sets))
    for name in sets:
        versions.store(scratch / name)
        if not (versions.folder() / name).exists():
            staging.move_in(scratch / name, name)


def _mismatch(what: str, expected: str, actual: str) -> DataError:
    return DataError(
        f"{what} must have the md5 {expected} that data.dvc names, but what is generated here has "
        f"{actual}. If data.dvc covers data that is not embedded, configure the remote that has it "
        "('dvc remote add -d NAME URL'), or put all its sets back into data/ and say 'unseen "
        "ingest' again; else go back to the code that data.dvc was made with."
    )
