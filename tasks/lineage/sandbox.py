"""A project that exists for a moment: nothing that is done in it reaches the real one."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import replace
from pathlib import Path

import mlflow

from models.contracts import Progress, silent
from models.errors import DataError
from tasks.data import dvc_cache, versions, write_version
from tasks.lineage.training_record import Material
from tasks.platform import workspace
from tasks.records import DataVersion


@contextmanager
def isolated(folder: Path) -> Iterator[None]:
    """Work in a folder as in a repository of its own, with its own data, cache and MLflow store.

    Prefect is not asked: tasks are called by their function, so that no remembered result is used
    and none is kept.
    """
    before = os.environ.get("MLFLOW_TRACKING_URI"), mlflow.get_tracking_uri()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    try:
        with chdir(folder):
            (folder / ".dvc").mkdir()
            (folder / ".dvc" / "config").write_text(
                f"[core]\n    site_cache_dir = {folder}/.site\n"
            )
            os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{workspace.home() / 'mlflow.db'}"
            yield
    finally:
        mlflow.set_tracking_uri(before[1])  # first, because it sets the variable too
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if before[0] is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before[0]


def fetch(material: Material, folder: Path, progress: Progress = silent) -> None:
    """Write the files of a data version below a folder, from DVC, and verify the md5 of each.

    Raises:
        DataError: If a file is lost or corrupt; says how to get it.
    """
    write_version.write(material.files, folder / material.version.digest, progress)


def bring_in(material: Material, folder: Path) -> DataVersion:
    """Give what ``fetch`` wrote to the DVC repository that is worked in; the same data version.

    Raises:
        DataError: If its bytes are no longer those of the version.
    """
    name = material.version.name
    versions.store(folder / material.version.digest)
    joined = versions.joined({name: material.files})
    versions.remember(joined)
    if lacking := dvc_cache.missing(entry.md5 for entry in material.files):
        raise DataError(
            f"The files of {name} {material.version.digest} must not change while they are read, "
            f"and {len(lacking)} did. Try again."
        )
    return replace(material.version, dvc_md5=versions.digest(joined), remote=None)
