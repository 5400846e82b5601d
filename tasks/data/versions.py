"""Data versions, as DVC names them.

``data/`` is one DVC output, named by ``data.dvc`` at the top of the repository. A data set is a
folder of it, and its digest is the md5 that DVC would give that folder alone: bringing in another
set changes ``data.dvc`` but nobody else's. A version is read from DVC and never from the working
copy.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from filelock import FileLock

from models.errors import DataError, NotFoundError
from tasks.data import dvc_cache, dvc_remote, dvc_repository, origin
from tasks.platform import git, workspace
from tasks.records import DataVersion


@dataclass(frozen=True)
class Entry:
    """One file of a data version."""

    relpath: str
    """Path below ``data/<name>``, with forward slashes."""
    md5: str


@dataclass(frozen=True)
class Changes:
    """What differs between two versions of a data set, as sorted paths."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def folder() -> Path:
    """The working copy of all data sets, ``data/`` at the top of the repository."""
    return workspace.root() / "data"


def lock() -> FileLock:
    """Held around every change of data and of ``data.dvc``; DVC's own lock gives up after 3 s."""
    return FileLock(workspace.home() / "data.lock", is_singleton=True)


def digest(entries: Iterable[Entry]) -> str:
    """Name that DVC gives a folder of these files: md5 of its sorted list, and ``.dir``."""
    return str(_tree(entries).oid)


def compare(before: Iterable[Entry], after: Iterable[Entry]) -> Changes:
    """Files that were added, removed and changed from ``before`` to ``after``."""
    old = {entry.relpath: entry.md5 for entry in before}
    new = {entry.relpath: entry.md5 for entry in after}
    return Changes(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(path for path in old.keys() & new.keys() if old[path] != new[path])),
    )


def recorded(revision: str | None = None) -> str | None:
    """The md5 in ``data.dvc``, now or in a git revision; None if there is no such file.

    Raises:
        DataError: If ``data.dvc`` cannot be understood, for example in the middle of a merge.
    """
    path = workspace.root() / "data.dvc"
    if revision:
        text = git.text_at(path.parent, revision, path.name)
    else:
        text = path.read_text() if path.exists() else None
    if not text:
        return None
    from dvc.exceptions import DvcException
    from dvc.utils.serialize import parse_yaml

    try:
        return str(parse_yaml(text, path)["outs"][0]["md5"])
    except (DvcException, LookupError, TypeError) as error:
        raise DataError(
            f"{path} must name the folder data/ with one md5, and cannot be understood. Restore "
            "it with 'git checkout data.dvc', or end the merge that changed it."
        ) from error


def history() -> Iterator[str]:
    """The md5s that ``data.dvc`` had in any commit of the repository, newest first."""
    for commit in git.commits(workspace.root(), "data.dvc"):
        with contextlib.suppress(DataError):
            if dvc_md5 := recorded(commit):
                yield dvc_md5


def names(dvc_md5: str) -> tuple[str, ...]:
    """Names of the data sets in the folder that DVC calls ``dvc_md5``, sorted."""
    paths = (item["relpath"].split("/") for item in dvc_cache.listing(dvc_md5))
    return tuple(sorted({path[0] for path in paths if len(path) > 1}))


def entries_at(dvc_md5: str, name: str) -> tuple[Entry, ...]:
    """Files of one data set in the folder that DVC calls ``dvc_md5``, sorted; empty if none.

    Raises:
        DataError: If the list of files is neither in the cache nor in the remote.
    """
    parted = (
        (each.relpath.partition("/"), each.md5) for each in _parsed(dvc_cache.listing(dvc_md5))
    )
    return tuple(Entry(path, md5) for (owner, _, path), md5 in parted if owner == name and path)


def entries(version: DataVersion) -> tuple[Entry, ...]:
    """Files of a data version, old or current, sorted by path.

    Raises:
        DataError: If no list of files with that digest is in DVC's cache or remote.
    """
    if found := holder(version.name, version.digest, [version.dvc_md5]):
        return entries_at(found, version.name)
    if not dvc_cache.missing([version.digest]):  # brought in again, under whatever name
        return _parsed(dvc_cache.listing(version.digest))
    raise DataError(
        f"The files of {version.name} {version.digest} must be listed in DVC's cache or remote, "
        f"and {version.dvc_md5} is in neither. {dvc_cache.ADVICE}"
    )


def holder(name: str, set_digest: str, likely: Iterable[str] = ()) -> str | None:
    """The md5 of a ``data`` folder that holds this version of a data set, None if none is known.

    Looks where it is likely, then in DVC's cache, then in the git history of ``data.dvc``.
    """
    for dvc_md5 in chain(likely, dvc_cache.cached_listings(), history()):
        with contextlib.suppress(DataError):
            found = entries_at(dvc_md5, name)
            if found and digest(found) == set_digest:
                return dvc_md5
    return None


def hash_folder(path: Path) -> tuple[Entry, ...]:
    """Files below a folder, sorted by path; what DVC has seen unchanged is not read again.

    Raises:
        DataError: If it cannot be read.
    """
    from dvc_data.hashfile.build import build

    with dvc_repository.opened() as repo:
        store, top = repo.cache.local, path.resolve()
        ignored = _ignored(repo, top)
        _, _, tree = build(store, str(top), store.fs, "md5", dry_run=True, ignore=ignored)
    return _parsed(tree.as_list())


def current(name: str) -> DataVersion:
    """The version of a data set that ``data.dvc`` names now.

    Raises:
        NotFoundError: If ``data.dvc`` names no such set.
    """
    dvc_md5 = recorded()
    files = entries_at(dvc_md5, name) if dvc_md5 else ()
    if not files or not dvc_md5:
        known = ", ".join(names(dvc_md5)) if dvc_md5 else "none yet"
        raise NotFoundError(
            f"There is no data set '{name}'. data.dvc names: {known}. Bring yours in with "
            f"'unseen ingest DIR --as {name}'."
        )
    return describe(name, files, dvc_md5)


def describe(name: str, files: Sequence[Entry], dvc_md5: str) -> DataVersion:
    """The record of a data version that lies in DVC's cache."""
    commit = git.head(workspace.root()) or "unborn"
    dirty = git.changed(workspace.root(), "data.dvc")
    own = digest(files)
    return DataVersion(
        name=name,
        digest=own,
        dvc_md5=dvc_md5,
        git_commit=f"{commit}+dirty" if dirty else commit,
        remote=dvc_remote.url(),
        num_files=len(files),
        num_bytes=dvc_cache.num_bytes(entry.md5 for entry in files),
        origin=origin.noted(name, own),
    )


def add(name: str, came_from: str = "") -> DataVersion:
    """Make the files in ``data/<name>`` a version, and leave every other set as it was.

    Args:
        name: The set.
        came_from: See ``tasks.data.origin``.

    Raises:
        DataError: If DVC cannot read the folder or write its cache.
    """
    from dvc.repo.add import get_or_create_stage

    with lock(), dvc_repository.opened() as repo, repo.lock:
        store(folder() / name)  # DVC would write the list of files before the files
        stage, _ = get_or_create_stage(repo, str(folder()))
        repo.check_graph(stages=[stage])
        dvc_md5, size = recorded(), getattr(stage.outs[0].meta, "size", None)
        stage.add_outs(str(folder() / name), relink=False)
        out = stage.outs[0]
        files = {key: info.value for key, _, info in out.obj}
        added = [md5 for key, md5 in files.items() if key[0] == name]
        dvc_cache.check_stored(added)
        before = [each.md5 for each in entries_at(dvc_md5, name)] if dvc_md5 else []
        out.meta.size = dvc_cache.size_after(size, before, added, files.values())
        own = digest(Entry("/".join(key[1:]), md5) for key, md5 in files.items() if key[0] == name)
        stage.meta = origin.merged(stage.meta, name, own, came_from or origin.noted(name, own))
        dvc_repository.replace_dvc_file(stage)
    return current(name)


def store(path: Path) -> None:
    """Put the files below a folder into DVC's cache; ``data.dvc`` does not change.

    Raises:
        DataError: If the folder cannot be read or the cache cannot be written.
    """
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.transfer import transfer

    with dvc_repository.opened() as repo:
        cache, top = repo.cache.local, path.resolve()
        staging, _, tree = build(cache, str(top), cache.fs, "md5", ignore=_ignored(repo, top))
        transfer(staging, cache, {tree.hash_info}, shallow=False)
        dvc_cache.check_stored(item["md5"] for item in tree.as_list())


def _ignored(repo: Any, path: Path) -> Any:
    """What ``.dvcignore`` says of a folder of the repository; other folders it says nothing of."""
    return repo.dvcignore if path.is_relative_to(repo.root_dir) else None


def remember(files: Iterable[Entry]) -> None:
    """Put a list of files of ``data/`` into DVC's cache."""
    from dvc_data.hashfile.db import add_update_tree

    with dvc_repository.opened() as repo:
        add_update_tree(repo.cache.local, _tree(files))


def joined(files: Mapping[str, Sequence[Entry]]) -> list[Entry]:
    """Files of ``data/`` when exactly these data sets are in it; their digest is its md5."""
    return [Entry(f"{name}/{entry.relpath}", entry.md5) for name in files for entry in files[name]]


def _parsed(listed: Iterable[Mapping[str, str]]) -> tuple[Entry, ...]:
    return tuple(Entry(item["relpath"], item["md5"]) for item in listed)


def _tree(files: Iterable[Entry]) -> Any:
    """DVC's own object for a list of files, with its digest."""
    from dvc_data.hashfile.tree import Tree

    listing = [{"md5": entry.md5, "relpath": entry.relpath} for entry in files]
    tree = Tree.from_list(listing, hash_name="md5")
    tree.digest()
    return tree
