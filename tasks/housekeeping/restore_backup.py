"""Restore a backup into a repository that has lost its store, or never had one."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from models.contracts import Progress, silent
from models.errors import NotFoundError, RegistryError
from tasks.data import dvc_cache
from tasks.feedback import judgements
from tasks.housekeeping import backup
from tasks.housekeeping.backup import ARTIFACTS, CONTENT, DATABASE, FILES, FLOWS, OBJECTS, Backup
from tasks.packaging import formats
from tasks.platform import prefect_server, workspace
from tasks.registry import store_place


def restore_backup(folder: Path, *, progress: Progress = silent) -> Backup:
    """Bring back registry, runs, models and data; the repository may lie elsewhere than it did.

    The database comes last: a restore that was interrupted counts as none and can be run again.

    Args:
        folder: As ``backup`` wrote it.
        progress: Shows the files.

    Raises:
        NotFoundError: If there is no backup in the folder.
        RegistryError: If a byte of it changed, a newer version of this code wrote it, or the
            repository has a store already.
        DataError: If an object of DVC is corrupt.
    """
    described = _verified(folder)
    home = workspace.home()
    if (home / DATABASE).exists() or prefect_server.local_server():
        raise RegistryError(
            f"A backup is restored where no store is, and {home} has one, or its Prefect server "
            f"runs. Say 'unseen down', and move {home} away."
        )
    _restore_files(folder / FILES)
    _restore_objects(folder / OBJECTS, progress)
    shutil.rmtree(home / ARTIFACTS, ignore_errors=True)
    shutil.copytree(folder / ARTIFACTS, home / ARTIFACTS)
    if (folder / judgements.FOLDER).is_dir():
        shutil.copytree(folder / judgements.FOLDER, home / judgements.FOLDER, dirs_exist_ok=True)
    if (folder / FLOWS).exists():
        prefect_server.folder().mkdir(parents=True, exist_ok=True)
        backup.copy_database(folder / FLOWS, prefect_server.folder() / FLOWS)
    _restore_database(folder / DATABASE, Path(described["root"]))
    return Backup(**{key: described[key] for key in Backup.__dataclass_fields__})


def _verified(folder: Path) -> dict[str, Any]:
    try:
        described: dict[str, Any] = json.loads((folder / CONTENT).read_text())
    except (OSError, ValueError) as error:
        raise NotFoundError(f"There must be a backup in {folder}, got: {error}.") from error
    formats.check(CONTENT, described)
    actual = backup.sums(folder)
    if differing := sorted(set(described["sha256"].items()) ^ set(actual.items())):
        names = ", ".join(dict.fromkeys(name for name, _ in differing))
        raise RegistryError(
            f"The backup in {folder} must have exactly the bytes that were written; changed, "
            f"missing or added: {names}. Take another backup."
        )
    return described


def _restore_files(folder: Path) -> None:
    """What names the data, where git does not have it."""
    for path in (each for each in sorted(folder.rglob("*")) if each.is_file()):
        place = workspace.root() / path.relative_to(folder)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def _restore_objects(folder: Path, progress: Progress) -> None:
    """Give DVC's cache what it lacks, each object at once or not at all."""
    found = sorted(folder.glob("??/*"))
    if not found:
        return
    top = dvc_cache.cache_folder()
    for path in progress(found, total=len(found), description="Restoring data"):
        dvc_cache.check(path, path.parent.name + path.name, "An object of the backup")
        place = top / path.parent.name / path.name
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            partial = place.with_name(f"{place.name}.partial-{os.getpid()}")
            shutil.copyfile(path, partial)
            partial.chmod(0o444)  # as DVC protects what it keeps
            partial.rename(place)


def _restore_database(path: Path, former_root: Path) -> None:
    partial = workspace.home() / f"{DATABASE}.partial"
    partial.unlink(missing_ok=True)
    backup.copy_database(path, partial)
    store_place.move(partial, former_root, workspace.root())
    partial.rename(workspace.home() / DATABASE)
