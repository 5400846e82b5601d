"""Bring data in: make a folder a data version, or check that it still is one."""

import re
from pathlib import Path

from prefect import task

from models.errors import DataError, InvalidInputError, NotFoundError
from tasks.data import (
    dvc_cache,
    dvc_remote,
    dvc_repository,
    embedded,
    staging,
    versions,
    working_copy,
    write_version,
)
from tasks.data import origin as origin_of
from tasks.data.announce import announce
from tasks.data.sources import catalog
from tasks.data.versions import Changes, Entry
from tasks.platform import git, workspace
from tasks.platform.flow_run import name_after_data
from tasks.platform.outages import RETRIED
from tasks.platform.progress import bar
from tasks.records import DataVersion

MADE = (".dvc/config", ".dvc/.gitignore", ".dvcignore")
"""What DVC makes beside ``data.dvc`` when it is initialized."""


@task(task_run_name="ingest {name}", on_completion=[name_after_data], **RETRIED)
def ingest(name: str, source: Path | None = None) -> DataVersion:
    """The version of a data set, made if its files are new.

    Args:
        name: Its folder below ``data/``.
        source: Folder to take it from, in our layout or in the raw form of a set known by name.
            None takes ``data/<name>`` as it is; where that is missing, DVC's cache or remote has
            it, or it is an embedded set and is generated.

    Raises:
        NotFoundError: If there is no such set or folder.
        DataError: If it cannot be brought in; then no version has changed.
    """
    known = catalog.find(name)
    name = known.name if known else _check_name(name)
    with versions.lock():
        dvc_repository.ignore_noise()
        dvc_md5, before = versions.recorded(), _recorded(name)
        version = _bring_up_to_date(name, source, asked=False)
    if version.dvc_md5 != dvc_md5 and version.digest != versions.digest(before):
        announce(version, versions.compare(before, versions.entries(version)))
    return version


def ingest_folder(
    source: str,
    *,
    name: str | None = None,
    origin: Path | None = None,
    commit: bool = False,
    push: bool = False,
    discard: bool = False,
) -> tuple[DataVersion, Changes]:
    """What ``unseen ingest`` does: bring a set in, and tell what changed against the last version.

    Args:
        source: A folder to be called ``name``; or a set known by name, which is downloaded or
            taken from ``origin``; or a set in ``data/`` whose files were edited.
        name: Name of the data set, with a folder as ``source``.
        origin: Folder of a public set's raw files.
        commit: Commit ``data.dvc``, and what DVC made beside it, in git.
        push: Copy its bytes to DVC's default remote before anybody is told of it.
        discard: Take what ``data.dvc`` names, and lose what was changed in ``data/``.

    Raises:
        InvalidInputError: If the arguments do not fit together.
        NotFoundError: If there is no such set or folder.
        DataError: If it cannot be brought in; then no version has changed.
    """
    folder = _folder_to_read(source, name, origin, discard=discard)
    known = catalog.find(name or source)
    target = known.name if known else _check_name(name or source)
    ignore_was_clean = not git.changed(workspace.root(), ".gitignore")
    with versions.lock():
        dvc_repository.ignore_noise()
        before = _recorded(target)
        if known and folder is None and not (versions.folder() / target).is_dir() and not before:
            _download(known)
        version = _bring_up_to_date(target, folder, asked=True, discard=discard)
        changes = versions.compare(before, versions.entries(version))
        if commit and _commit(target, with_gitignore=ignore_was_clean):
            version = versions.current(target)
    if push:
        dvc_remote.push([version.dvc_md5, *(entry.md5 for entry in versions.entries(version))])
    if changes:
        announce(version, changes)
    return version, changes


def describe_changes(before: DataVersion | None, after: DataVersion) -> Changes:
    """Files added, removed and changed between two versions of a data set; all added if None."""
    earlier = versions.entries(before) if before else ()
    return versions.compare(earlier, versions.entries(after))


def available() -> dict[str, tuple[bool, str]]:
    """Data sets by name: whether they lie in ``data/``, and what they are."""
    top = versions.folder()
    mine = (path.name for path in top.glob("[!.]*") if path.is_dir()) if top.is_dir() else ()
    every = dict.fromkeys((*catalog.names(), *sorted(mine)))
    return {name: ((top / name).is_dir(), catalog.about(name)) for name in every}


def _folder_to_read(
    source: str, name: str | None, origin: Path | None, *, discard: bool
) -> Path | None:
    if discard and (name is not None or origin is not None):
        raise InvalidInputError(
            "--discard takes what data.dvc names, and no folder: pass the name of the set alone."
        )
    if name is not None and origin is not None:
        raise InvalidInputError(
            "--as names a folder of yours and --from a public set's raw files: pass one of them."
        )
    if name is not None:
        return Path(source)
    if origin is not None:
        catalog.get(source)
    known_here = catalog.find(source) or source in catalog.EMBEDDED
    if not origin and not known_here and Path(source).is_dir() and not _is_set(source):
        raise InvalidInputError(
            f"A folder needs a name as a data set: 'unseen ingest {source} --as NAME'."
        )
    return origin


def _is_set(name: str) -> bool:
    return bool(re.fullmatch(r"[\w.-]+", name)) and (versions.folder() / name).is_dir()


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise InvalidInputError(
            f"The name of a data set must be letters, digits, '.', '_' and '-', got {name!r}. "
            "Name it with --as NAME."
        )
    return name


def _recorded(name: str) -> tuple[Entry, ...]:
    """Files of the set that ``data.dvc`` names now; empty if none, or if their list is lost."""
    dvc_md5 = versions.recorded()
    if dvc_md5 is None or not dvc_cache.at_hand(dvc_md5):
        return ()
    return versions.entries_at(dvc_md5, name)


def _get_back(name: str) -> None:
    """Write ``data/<name>`` from DVC's cache or remote, or generate it.

    Raises:
        NotFoundError: If nobody has it.
        DataError: If it comes out otherwise than ``data.dvc`` names it.
    """
    files = _recorded(name)
    complete = bool(files) and dvc_cache.at_hand(*(entry.md5 for entry in files))
    if name in catalog.EMBEDDED and not complete:
        embedded.regenerate(name)
    elif files:
        write_version.write(files, versions.folder() / name, bar)
    elif catalog.find(name):
        raise NotFoundError(
            f"There is no data set '{name}' here yet. Download it with 'unseen ingest {name}', or "
            f"pass a folder of its files: 'unseen ingest {name} --from DIR'."
        )
    elif (dvc_md5 := versions.recorded()) and not dvc_cache.at_hand(dvc_md5):
        raise DataError(
            f"data.dvc names {dvc_md5}, whose list of files is neither in DVC's cache nor in a "
            f"remote, so '{name}' cannot be looked up. Configure the remote that has it: 'dvc "
            "remote add -d NAME URL'."
        )
    else:
        here = ", ".join(each for each, (present, _) in available().items() if present)
        raise NotFoundError(
            f"There is no data set '{name}' in {versions.folder()}, which holds: {here or 'none'}. "
            f"Bring yours in with 'unseen ingest DIR --as {name}'."
        )


def _bring_up_to_date(
    name: str, source: Path | None, *, asked: bool, discard: bool = False
) -> DataVersion:
    """The version of a data set after a folder was brought in, or of what is there."""
    if source is not None and source.resolve() != (versions.folder() / name).resolve():
        return _bring_in(name, Path(source))
    if not (versions.folder() / name).is_dir():
        _get_back(name)
        return working_copy.record(name)
    return working_copy.settle(name, asked=asked, discard=discard)


def _bring_in(name: str, source: Path) -> DataVersion:
    """Make ``data/<name>`` what ``source`` holds, at once or not at all."""
    if not source.is_dir():
        raise NotFoundError(f"There is no folder {source}. Check the path.")
    came_from = origin_of.of_folder(source)
    canonical = (source / "train" / "good").is_dir()
    target = versions.folder() / name
    with staging.scratch() as scratch:
        copied = scratch / name
        if canonical or not (known := catalog.find(name)):
            files = staging.incoming(source)
            staging.check_layout(source, files)
            if target.is_dir():
                staging.files_of(target)  # what cannot be read there is not replaced either
                if staging.visible_files(source) == versions.hash_folder(target):
                    return working_copy.record(name, came_from)
            staging.copy(source, copied, files)
        else:
            known.convert(source, copied, bar)
        staging.check_layout(source, staging.files_of(copied))
        return _replace(name, copied, came_from)


def _download(known: catalog.Source) -> DataVersion:
    """Make ``data/<name>`` a public set, from its public source."""
    with staging.scratch() as scratch:
        raw = scratch / "raw"
        raw.mkdir()
        files = known.obtain(workspace.home() / "downloads", raw, bar)
        known.convert(files, scratch / known.name, bar)
        staging.check_layout(scratch / known.name)
        return _replace(known.name, scratch / known.name)


def _replace(name: str, path: Path, came_from: str = "") -> DataVersion:
    """Put a complete folder in the place of ``data/<name>``, unless that would lose something.

    If no version can be made of it, what was there is put back.
    """
    target = versions.folder() / name
    here = versions.hash_folder(target) if target.is_dir() else ()
    new = bool(here) and here != versions.hash_folder(path)
    likely = [dvc_md5] if (dvc_md5 := versions.recorded()) else []
    kept = new and versions.holder(name, versions.digest(here), likely)
    if new and not (kept and dvc_cache.at_hand(*(entry.md5 for entry in here))):
        raise DataError(
            f"{target} holds files that are in no version yet and would be lost. Keep them with "
            f"'unseen ingest {name}', or delete them, then try again."
        )
    with staging.moved_in(path, name):
        return working_copy.record(name, came_from)


def _commit(name: str, *, with_gitignore: bool) -> bool:
    """Commit ``data.dvc`` and what DVC has just made, nothing else; False if it is committed.

    Raises:
        DataError: If git refuses.
    """
    files = [file for file in uncommitted() if file != ".gitignore" or with_gitignore]
    if not files:
        return False
    try:
        git.ask("add", "--", *files, folder=workspace.root())
        git.ask(
            "commit", "-q", "-m", f"New version of {name}", "--", *files, folder=workspace.root()
        )
    except DataError as error:
        raise DataError(
            f"{error}\nThe data version is made; commit {' '.join(files)} yourself."
        ) from error
    return True


def uncommitted() -> list[str]:
    """Files that name the data and that git does not have as they are."""
    top = workspace.root()
    new = [file for file in MADE if git.changed(top, file)[:1] in ("A", "?")]
    return new + [file for file in (".gitignore", "data.dvc") if git.changed(top, file)]
