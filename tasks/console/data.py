"""Data: the data versions that are known, what validation said of them, and who learned from them.

Known is what ``data.dvc`` names now, what was validated, and what a registered version was trained
on. Versions in the git history that nobody has used are not looked for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from models.errors import DataError, NotFoundError
from tasks.console.overview import moment
from tasks.data import dvc_cache
from tasks.records import DataVersion
from tasks.registry import model_versions
from tasks.registry.tags import (
    DATA_DIGEST,
    DATA_GIT_COMMIT,
    DATA_MD5,
    DATA_NAME,
    DATA_NUM_FILES,
    KIND,
)

MOST_RUNS = 500
"""Newest validation runs that are read."""
MOST_PATHS = 20
"""Paths that are named of each kind of change."""


@dataclass(frozen=True, kw_only=True)
class ValidationRun:
    """One time that a data version was held to the expectations."""

    run_id: str
    when: str
    """UTC, ISO 8601."""
    model: str
    """The registered model that was to be trained."""
    failed: int | None
    """Expectations that were not met; None if the run ended before it knew."""
    critical: int | None
    """Those among them that stop a training."""


@dataclass(frozen=True, kw_only=True)
class Use:
    """A registered version that was trained on a data version."""

    model: str
    version: int
    serves: bool


@dataclass(frozen=True, kw_only=True)
class KnownData:
    """A data version."""

    name: str
    digest: str
    dvc_md5: str
    git_commit: str
    num_files: int
    num_bytes: int | None
    """None if it is not the present version."""
    current: bool
    """``data.dvc`` names it now."""
    validations: tuple[ValidationRun, ...] = ()
    """The newest first."""
    used_by: tuple[Use, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Changed:
    """What differs between two versions of a data set."""

    before: str
    after: str
    added: int
    removed: int
    changed: int
    examples: dict[str, tuple[str, ...]]
    """The first paths of each kind."""


def known(client: MlflowClient) -> list[KnownData]:
    """Every known data version: by name, the current one first, then as validated last."""
    found = {(each.name, each.digest): each for each in _current()}
    models = {each.experiment_id: each.name for each in client.search_experiments()}
    for run in _validation_runs(client, list(models)):
        row = _from_tags(run.data.tags)
        before = found.setdefault((row.name, row.digest), row)
        seen = (*before.validations, _validation(run, models))
        commit = before.git_commit or row.git_commit
        found[row.name, row.digest] = replace(before, validations=seen, git_commit=commit)
    for model in client.search_registered_models():
        for version in model_versions.versions(client, model.name):
            row, number = _from_tags(version.tags), int(version.version)
            if not row.digest:
                continue
            before = found.setdefault((row.name, row.digest), row)
            serves = int(model.aliases.get(model_versions.CHAMPION, 0)) == number
            use = Use(model=model.name, version=number, serves=serves)
            found[row.name, row.digest] = replace(before, used_by=(*before.used_by, use))
    return sorted(found.values(), key=lambda each: (each.name, not each.current))


def changes(client: MlflowClient, name: str, before: str, after: str) -> Changed:
    """What differs between two known versions of a data set.

    Raises:
        NotFoundError: If either is not known.
        DataError: If the list of files of either is lost.
    """
    rows = {each.digest: each for each in known(client) if each.name == name}
    for digest in (before, after):
        if digest not in rows:
            raise NotFoundError(
                f"There is no data version {digest!r} of {name!r}. Known: "
                f"{', '.join(rows) or 'none'}."
            )
    from tasks.data import versions  # it brings in torch, for which the other pages must not wait

    old, new = (versions.entries(_record(rows[digest])) for digest in (before, after))
    found = versions.compare(old, new)
    paths = {kind: getattr(found, kind) for kind in ("added", "removed", "changed")}
    return Changed(
        before=before,
        after=after,
        **{kind: len(each) for kind, each in paths.items()},
        examples={kind: each[:MOST_PATHS] for kind, each in paths.items()},
    )


def validation_result(client: MlflowClient, run_id: str) -> dict[str, Any]:
    """Everything that a validation run found: its expectations one by one, and figures.

    Raises:
        NotFoundError: If there is no such validation run, or its result is lost.
    """
    run = validation_run(client, run_id)
    try:
        found = mlflow.artifacts.load_dict(f"runs:/{run_id}/validation/result.json")
    except (MlflowException, OSError, ValueError) as error:
        raise NotFoundError(
            f"The run {run_id} must hold validation/result.json, got: {error}. Validate the data "
            "again with 'unseen retrain'."
        ) from error
    return {**found, "data": _from_tags(run.data.tags), "run_id": run_id}


def validation_run(client: MlflowClient, run_id: str) -> Run:
    """The MLflow run of a validation.

    Raises:
        NotFoundError: If there is none of that id.
    """
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise NotFoundError(f"There is no validation run {run_id!r}.") from error
    if run.data.tags.get(KIND) != "validate":
        raise NotFoundError(f"The run {run_id!r} is no validation run.")
    return run


@cache
def docs_folder(run_id: str) -> Path:
    """Readable copy of the Data Docs of a validation run; the original if it is local.

    Raises:
        NotFoundError: If the artifact store does not have them.
    """
    try:
        place = mlflow.artifacts.download_artifacts(f"runs:/{run_id}/validation/data_docs")
    except (MlflowException, OSError) as error:
        raise NotFoundError(f"The run {run_id} has no Data Docs any more: {error}.") from error
    return Path(place).resolve()


def first_page(run_id: str) -> str:
    """Where to begin to read the Data Docs: the results; the index is empty without scripts.

    Raises:
        NotFoundError: If the artifact store does not have them.
    """
    folder = docs_folder(run_id)
    results = sorted(folder.glob("validations/**/*.html"))
    return results[0].relative_to(folder).as_posix() if results else "index.html"


def _validation_runs(client: MlflowClient, experiments: list[str]) -> list[Run]:
    return list(
        client.search_runs(
            experiments,
            f"tags.`{KIND}` = 'validate'",
            max_results=MOST_RUNS,
            order_by=["attributes.start_time DESC"],
        )
    )


def _validation(run: Run, models: Mapping[str, str]) -> ValidationRun:
    failed, critical = (run.data.metrics.get(key) for key in ("num_failed", "num_critical"))
    return ValidationRun(
        run_id=run.info.run_id,
        when=moment(run.info.start_time),
        model=models.get(run.info.experiment_id, ""),
        failed=None if failed is None else int(failed),
        critical=None if critical is None else int(critical),
    )


def _from_tags(tags: dict[str, str]) -> KnownData:
    return KnownData(
        name=tags.get(DATA_NAME, ""),
        digest=tags.get(DATA_DIGEST, ""),
        dvc_md5=tags.get(DATA_MD5, ""),
        git_commit=tags.get(DATA_GIT_COMMIT, ""),
        num_files=int(tags.get(DATA_NUM_FILES) or 0),
        num_bytes=None,
        current=False,
    )


def _current() -> Iterator[KnownData]:
    """What ``data.dvc`` names now, as far as its list of files is at hand."""
    from tasks.data import versions

    try:
        dvc_md5 = versions.recorded()
        names = versions.names(dvc_md5) if dvc_md5 else ()
        for name in names:
            digest, num_files, num_bytes = _measured(str(dvc_md5), name)
            yield KnownData(
                name=name,
                digest=digest,
                dvc_md5=str(dvc_md5),
                git_commit="",
                num_files=num_files,
                num_bytes=num_bytes,
                current=True,
            )
    except (DataError, NotFoundError):
        return


@cache
def _measured(dvc_md5: str, name: str) -> tuple[str, int, int]:
    """Digest, files and bytes of a data set in a folder that never changes."""
    from tasks.data import versions

    files = versions.entries_at(dvc_md5, name)
    return versions.digest(files), len(files), dvc_cache.num_bytes(each.md5 for each in files)


def _record(row: KnownData) -> DataVersion:
    return DataVersion(
        name=row.name,
        digest=row.digest,
        dvc_md5=row.dvc_md5,
        git_commit=row.git_commit,
        remote=None,
        num_files=row.num_files,
        num_bytes=row.num_bytes or 0,
    )
