"""All that is recorded of a registered version, as far as it takes to train it again."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion as RegisteredVersion

import models
from models.errors import DataError, RegistryError
from tasks.data import versions
from tasks.data.versions import Entry
from tasks.packaging import formats, package
from tasks.records import DataVersion, Validation
from tasks.registry import mlflow_store, model_versions, version_facts
from tasks.registry.tags import MODEL_DIGEST, TAG


@dataclass(frozen=True, kw_only=True)
class Material:
    """A data version and its files."""

    version: DataVersion
    files: tuple[Entry, ...]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A registered version as it was when it was registered."""

    name: str
    version: int
    digest: str
    """SHA-256 over all files of the packaged detector."""
    folder: Path
    """The packaged detector, whose every byte was verified."""
    lineage: dict[str, Any]
    metrics: dict[str, float]
    environment: dict[str, str]
    """Machine and libraries, as ``tracking.hardware`` tells them; in part or empty if unknown."""
    data: Material
    pretext: Material
    """What the encoder was trained on: the same, unless the encoder was kept."""
    source: Material | None = None
    """What the detector was trained on that this one was adapted from, if it was."""

    @property
    def reference(self) -> str:
        """``NAME@VERSION``."""
        return f"{self.name}@{self.version}"

    @property
    def validation(self) -> Validation:
        """What the expectations said of the data."""
        known = self.lineage["validation"]
        return Validation(**{**known, "failed": tuple(known["failed"])})


def recorded(reference: str) -> Recorded:
    """Find a registered version and everything that it was made from.

    Args:
        reference: As ``trace`` takes it.

    Raises:
        NotFoundError: If there is no such model, version or alias.
        RegistryError: If its files are lost, were changed, or say too little to train it again.
        DataError: If the list of files of its data is lost or was changed.
    """
    client = mlflow_store.client()
    version = model_versions.find(client, reference)
    folder = model_versions.folder(version.source)
    digest = package.digest(package.verify(folder))
    if digest != version.tags.get(MODEL_DIGEST):
        raise RegistryError(
            f"{version.name} version {version.version} must have the digest that was registered, "
            f"{version.tags.get(MODEL_DIGEST)}, got {digest}. Restore the artifact store."
        )
    lineage = json.loads((folder / "lineage.json").read_text())
    formats.check("lineage.json", lineage)
    _check(version, lineage)
    data = _data(folder, lineage)
    return Recorded(
        name=version.name,
        version=int(version.version),
        digest=digest,
        folder=folder,
        lineage=lineage,
        metrics=version_facts.gather(client, version).metrics,
        environment=lineage.get("environment") or _of_run(client, version),
        data=data,
        pretext=_other(lineage["pretext"], data),
        source=_other(lineage["source"], data) if lineage.get("source") else None,
    )


def changed_models(folder: Path) -> tuple[str, ...]:
    """Files of ``models`` that differ between a packaged detector and what was imported here."""
    assert models.__file__
    here, there = Path(models.__file__).parent, folder / "sources" / "models"
    names = {path.relative_to(top) for top in (here, there) for path in top.rglob("*.py")}
    return tuple(
        sorted(f"models/{n.as_posix()}" for n in names if _bytes(here / n) != _bytes(there / n))
    )


def copy_sources(known: Recorded, folder: Path) -> None:
    """Copy what a version was trained with, ``models`` and a user's own modules, to a folder."""
    for path in (known.folder / "sources").iterdir():
        if path.name == "tasks":  # that is the reader alone, and would hide the other tasks
            continue
        if path.is_dir():
            shutil.copytree(path, folder / path.name)
        else:
            shutil.copyfile(path, folder / path.name)


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _check(version: RegisteredVersion, lineage: Mapping[str, Any]) -> None:
    called = f"{version.name} version {version.version}"
    needed = ("training", "adapter" if lineage.get("source") else "encoder", "detector")
    lacking = [key for key in needed if key not in lineage["recipe"]]
    if lacking or not lineage.get("pretext"):
        raise RegistryError(
            f"The lineage of {called} must hold its whole recipe and its pretext run, and lacks "
            f"{', '.join(lacking) or 'the pretext run'}: it was registered by an older version of "
            "unseen. Retrain it; what is registered from now on can be reproduced."
        )


def _data(folder: Path, lineage: Mapping[str, Any]) -> Material:
    version = DataVersion(**lineage["data"])
    carried = json.loads((folder / "files.json").read_text())
    files = tuple(Entry(file["relpath"], file["md5"]) for file in carried)
    if versions.digest(files) != version.digest:
        raise DataError(
            f"The list of files that the model carries must have the digest {version.digest}, got "
            f"{versions.digest(files)}. Restore the artifact store."
        )
    return Material(version=version, files=files)


def _other(part: Mapping[str, Any], data: Material) -> Material:
    """The data version of another part of the lineage."""
    version = DataVersion(**part["data"])
    if version.digest == data.version.digest:
        return data
    return Material(version=version, files=versions.entries(version))


def _of_run(client: MlflowClient, version: RegisteredVersion) -> dict[str, str]:
    """What older versions told of their machine: tags of the run, as long as it is there."""
    run = version_facts.get_run(client, version.run_id)
    tags = run.data.tags if run else {}
    known = ((key.removeprefix(TAG), value) for key, value in tags.items() if key.startswith(TAG))
    return {key: value for key, value in known if key.startswith(("hardware.", "version."))}
