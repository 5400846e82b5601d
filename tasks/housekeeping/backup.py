"""Backup: everything that a registered version rests on, in one folder, consistent in itself.

    backup.json        what it holds: format, time, place, models, SHA-256 of every other file
    mlflow.db          the registry and all runs
    artifacts/         packaged detectors and artifacts of runs
    judgements/        what people said of kept pictures, and these pictures, if they did
    dvc/               objects of DVC's cache, by md5
    repository.bundle  all branches and tags of git
    files/             data.dvc and what DVC made beside it, committed or not
    prefect.db         flow runs, if a local server ever kept any

The database is copied first, by SQLite's own online backup, which waits for no writer. All else is
only ever added to, and is there before the database names it; so what is copied afterwards holds
everything that the copied database names. Pruning, which takes things away, has to wait.
"""

import hashlib
import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path

from mlflow import MlflowClient

from models.contracts import Progress, silent
from models.errors import NotFoundError, RegistryError
from tasks.data import dvc_cache
from tasks.data.ingest import MADE
from tasks.feedback import judgements
from tasks.housekeeping import prune
from tasks.housekeeping.references import pages
from tasks.packaging import formats, package
from tasks.platform import addresses, git, prefect_server, workspace
from tasks.registry import mlflow_store, model_versions

DATABASE, FLOWS, BUNDLE, CONTENT = "mlflow.db", "prefect.db", "repository.bundle", "backup.json"
ARTIFACTS, OBJECTS, FILES = "artifacts", "dvc", "files"
SQLITE = "sqlite:///"


@dataclass(frozen=True, kw_only=True)
class Backup:
    """What a backup holds."""

    folder: str
    when: str
    """UTC, ISO 8601."""
    root: str
    """Where the repository was."""
    models: dict[str, int]
    """Number of versions of each registered model."""
    num_objects: int
    """Files in DVC's cache, lists of files included."""
    num_bytes: int


def backup(folder: Path, *, data: bool = True, progress: Progress = silent) -> Backup:
    """Write a backup, complete or not at all, while everything else goes on.

    Args:
        folder: A folder that does not exist yet.
        data: Take the objects of DVC's cache too; False if a DVC remote has them all.
        progress: Shows the files.

    Raises:
        RegistryError: If the folder exists, MLflow keeps its things on a server, or a registered
            model is broken.
        DataError: If an object of DVC's cache is corrupt.
    """
    folder = folder.absolute()
    database = _database()
    if folder.exists():
        raise RegistryError(f"A backup needs a new folder, and {folder} exists. Name another.")
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        with prune.lock():
            copy_database(database, partial / DATABASE)
            flows = prefect_server.folder() / FLOWS
            if flows.exists():
                copy_database(flows, partial / FLOWS)
            _copy(workspace.home() / ARTIFACTS, partial / ARTIFACTS, progress)
            if (said := workspace.home() / judgements.FOLDER).is_dir():
                _copy(said, partial / judgements.FOLDER, progress)
            num_objects = _copy_objects(partial / OBJECTS, progress) if data else 0
            _copy_repository(partial)
        models = _check_models(mlflow_store.client(), partial)
        made = _describe(folder, partial, models, num_objects)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return made


def copy_database(source: Path, target: Path) -> None:
    """A consistent copy of an SQLite database that others may be writing to."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def sums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a backup but its own description and DVC's objects, by path."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = {path.relative_to(folder): path for path in paths}
    return {
        name.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in names.items()
        if name.parts[0] not in (CONTENT, OBJECTS)
    }


def _database() -> Path:
    uri = mlflow_store.client().tracking_uri
    if not uri.startswith(SQLITE):
        raise RegistryError(
            "This backs up an MLflow store in SQLite on this machine, and "
            f"{addresses.shown(uri)} is none. Back up its database and its artifact "
            "store by their own tools; docs/guides/backups.md says how."
        )
    return Path(uri.removeprefix(SQLITE))


def _copy(source: Path, target: Path, progress: Progress) -> None:
    target.mkdir()
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    for path in progress(files, total=len(files), description=f"Copying {source.name}"):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def _copy_objects(target: Path, progress: Progress) -> int:
    """Copy DVC's cache, and verify the md5 of every object; how many there are."""
    try:
        top = dvc_cache.cache_folder()
    except NotFoundError:
        return 0
    found = [path for path in sorted(top.glob("??/*")) if path.suffix in ("", ".dir")]
    for path in progress(found, total=len(found), description="Copying data"):
        place = target / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
        dvc_cache.check(place, path.parent.name + path.name, "An object of DVC's cache")
    return len(found)


def _copy_repository(folder: Path) -> None:
    root = workspace.root()
    if git.head(root) is None:
        raise RegistryError("A backup holds the repository, and it has no commit. Commit first.")
    git.ask("bundle", "create", "-q", str(folder / BUNDLE), "--all", "HEAD", folder=root)
    for name in ("data.dvc", *MADE):
        if (root / name).is_file():
            place = folder / FILES / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, place)


def _check_models(client: MlflowClient, folder: Path) -> dict[str, int]:
    """Verify the copy of every registered model; how many versions each has."""
    found: dict[str, int] = {}
    for version in pages(client.search_model_versions):
        place = model_versions.folder(version.source)
        home = workspace.home() / ARTIFACTS
        if not place.is_relative_to(home):
            raise RegistryError(
                f"{version.name} version {version.version} must lie in {home} to be backed up, it "
                f"is in {place}. Back that place up by its own tools."
            )
        package.verify(folder / ARTIFACTS / place.relative_to(home))
        found[version.name] = found.get(version.name, 0) + 1
    return found


def _describe(folder: Path, partial: Path, models: dict[str, int], num_objects: int) -> Backup:
    made = Backup(
        folder=str(folder),
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        root=str(workspace.root()),
        models=models,
        num_objects=num_objects,
        num_bytes=sum(path.stat().st_size for path in partial.rglob("*") if path.is_file()),
    )
    versions = {name: installed(name) for name in ("mlflow", "prefect", "dvc")}
    described = {
        "format": formats.CURRENT[CONTENT],
        **vars(made),
        "versions": versions,
        "sha256": sums(partial),
    }
    (partial / CONTENT).write_text(json.dumps(described, indent=1))
    return made
