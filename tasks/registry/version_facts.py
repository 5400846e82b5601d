"""What is known of a model version, put together from the places that keep it.

The version's tags come first, then the model's own files, then the MLflow run. Each is complete
enough to do without the others; where two contradict each other, a note says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.packaging import formats
from tasks.registry import lazy_mlflow, model_versions
from tasks.registry.tags import TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion as RegisteredVersion

Json = Any


@dataclass(frozen=True)
class Facts:
    """Everything that is known of one model version."""

    lineage: dict[str, Json]
    """In the form of the packaged detector's ``lineage.json``; what nobody knows is absent."""
    files: list[dict[str, str]] | None
    """``relpath`` and ``md5`` of each file of the data version; None if the list is lost."""
    metrics: dict[str, float]
    model_digest: str
    run: Run | None
    """The run that trained the detector; None if it was deleted."""
    notes: tuple[str, ...]
    """What is lost, and what took its place."""


def gather(client: MlflowClient, version: RegisteredVersion) -> Facts:
    """All that tags, files and run say of a model version.

    Raises:
        RegistryError: If a newer version of this code wrote them.
    """
    tags = {
        key.removeprefix(TAG): value for key, value in version.tags.items() if key.startswith(TAG)
    }
    run = get_run(client, version.run_id)
    lineage = read_json(version, "lineage.json")
    formats.check("lineage.json", lineage or {})
    notes: list[str] = []
    if lineage is None:
        notes.append("The model's own files are lost: known from the version's tags.")
    known = _merge(_of_run(run), lineage or {}, notes)
    known = _merge(known, _of_tags(tags), notes)
    if not known.get("recipe"):
        known["recipe"] = _recipe(tags.get("recipe", ""))
    return Facts(
        lineage=known,
        files=read_json(version, "files.json"),
        metrics=_metrics(tags, run),
        model_digest=tags.get("model_digest", ""),
        run=run,
        notes=tuple(notes),
    )


def get_run(client: MlflowClient, run_id: str | None) -> Run | None:
    """An MLflow run; None if it is gone.

    Raises:
        RegistryError: If MLflow does not answer.
    """
    try:
        return client.get_run(run_id) if run_id else None
    except lazy_mlflow.exceptions.MlflowException as error:
        if not model_versions.is_gone(error):
            model_versions.unanswered(error)
        return None


def run_artifact(client: MlflowClient, run_id: str, path: str) -> Path | None:
    """Local copy of an artifact of a run, the original if it is local; None if it is gone.

    ``mlflow.artifacts`` calls every failure to read ``runs:/`` one of a wrong path, so that the
    run's own place is asked.

    Raises:
        RegistryError: If the store does not answer.
    """
    run = get_run(client, run_id)
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    try:
        place = run and get_artifact_repository(run.info.artifact_uri)
        return Path(place.download_artifacts(path)) if place else None
    except (lazy_mlflow.exceptions.MlflowException, OSError) as error:
        if not model_versions.artifact_is_gone(error):
            model_versions.unanswered(error)
        return None


def read_json(version: RegisteredVersion, name: str) -> Json:
    """A JSON file of the packaged detector of a version; None if the artifact store lost it.

    Raises:
        RegistryError: If the artifact store does not answer.
    """
    uri = f"models:/{version.name}/{version.version}/artifacts/{model_versions.PACKAGE}/{name}"
    own: Path | None = getattr(version, "folder", None)  # of ``QuickReads``
    place = own and own / "artifacts" / model_versions.PACKAGE / name
    try:
        if place and place.is_file():
            return json.loads(place.read_bytes())
        return json.loads(Path(lazy_mlflow.artifacts.download_artifacts(uri)).read_bytes())
    except ValueError:
        return None
    except (lazy_mlflow.exceptions.MlflowException, OSError) as error:
        if not model_versions.artifact_is_gone(error):
            model_versions.unanswered(error)
        return None


def _of_tags(tags: Mapping[str, str]) -> dict[str, Json]:
    number, source = tags.get("data_num_files"), tags.get("source_version")
    return {
        "data": {
            "name": tags.get("data_name"),
            "digest": tags.get("data_digest"),
            "dvc_md5": tags.get("data_md5"),
            "git_commit": tags.get("data_git_commit"),
            "remote": tags.get("data_remote"),
            "num_files": int(number) if number else None,
        },
        "validation": {
            "run_id": tags.get("validation_run_id"),
            "suite": tags.get("validation_suite"),
        },
        "pretext": {
            "run_id": tags.get("pretext_run_id"),
            "data": {"digest": tags.get("pretext_data_digest")},
        },
        "source": {
            **{key: tags.get(f"source_{key}") for key in ("name", "digest", "run_id")},
            "version": int(source) if source else None,
            "data": {"digest": tags.get("source_data_digest")},
        },
        "statistics": json.loads(tags.get("statistics") or "{}"),
        **{key: tags.get(key) for key in ("git_commit", "code_version", "flow_run_id", "run_id")},
    }


def _of_run(run: Run | None) -> dict[str, Json]:
    if run is None:
        return {}
    keys = ("git_commit", "code_version", "flow_run_id")
    return {"run_id": run.info.run_id, **{key: run.data.tags.get(TAG + key) for key in keys}}


def _merge(
    base: Mapping[str, Json], over: Mapping[str, Json], notes: list[str], path: str = ""
) -> dict[str, Json]:
    """What either knows; ``over`` wins, and a note says where they differ."""
    merged = dict(base)
    for key, value in over.items():
        known = base.get(key)
        if isinstance(value, Mapping):
            merged[key] = _merge(known or {}, value, notes, f"{path}{key}.")
        elif value not in (None, ""):
            merged[key] = value
            if known not in (None, "", value):
                notes.append(f"{path}{key} is {value} in one place and {known} in another.")
    return merged


def _recipe(tag: str) -> dict[str, Json]:
    """The recipe of a tag; empty if it was too long for one."""
    try:
        found = json.loads(tag)
    except ValueError:
        return {}
    return dict(found) if isinstance(found, dict) else {}


def _metrics(tags: Mapping[str, str], run: Run | None) -> dict[str, float]:
    prefix = "metric."
    found = {
        key.removeprefix(prefix): float(value)
        for key, value in tags.items()
        if key.startswith(prefix)
    }
    return found or (dict(run.data.metrics) if run else {})
