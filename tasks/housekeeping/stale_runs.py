"""Old MLflow runs of ours that nobody refers to, with the models that they logged."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from tasks.housekeeping.references import References, pages
from tasks.housekeeping.stale import Kind, Stale, size
from tasks.registry import parent_run
from tasks.registry.tags import KIND, MODEL_DIGEST

RUNNING = ("RUNNING", "SCHEDULED")


def find(client: MlflowClient, references: References, cutoff: float) -> tuple[Kind, list[Run]]:
    """Sort all runs of ours into stale ones and those that stay.

    Args:
        client: Of the store.
        references: What must stay.
        cutoff: What ended later stays; seconds since 1970.

    Returns:
        The runs, and those of them that stay.
    """
    kind = Kind(title="MLflow runs", why="no registered version, decision or lineage names them")
    stay: list[Run] = []
    parents: set[str | None] = set()
    experiments = [each.experiment_id for each in pages(client.search_experiments)]
    models = list(_models(client, experiments))
    for run in sorted(ours(client, experiments), key=_is_parent):
        logged = [each for each in models if each.source_run_id == run.info.run_id]
        who = _needed_by(run, logged, references)
        if _ended(run) >= cutoff * 1000:
            who |= {"younger"}
        if run.info.run_id in parents:
            who |= {"its steps"}
        if who:
            parents.add(run.data.tags.get(MLFLOW_PARENT_RUN_ID))
            kind.kept.update(who)
            stay.append(run)
        else:
            kind.stale.append(_stale(client, run, logged))
    return kind, stay


def ours(client: MlflowClient, experiments: list[str]) -> Iterator[Run]:
    """Runs that this code made, those that somebody marked as deleted included."""
    wanted = f"tags.`{KIND}` != ''"
    yield from pages(client.search_runs, experiments, wanted, run_view_type=ViewType.ALL)


def _models(client: MlflowClient, experiments: list[str]) -> Iterator[LoggedModel]:
    token = None
    while experiments:
        page = client.search_logged_models(experiments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _is_parent(run: Run) -> bool:
    return run.data.tags.get(KIND) in parent_run.FLOWS


def _ended(run: Run) -> int:
    return int(run.info.end_time or run.info.start_time)


def _needed_by(run: Run, logged: list[LoggedModel], references: References) -> set[str]:
    ids = [run.info.run_id, *(each.model_id for each in logged)]
    who = set().union(*(references.ids.get(each, set()) for each in ids))
    about = references.digests.get(run.data.tags.get(MODEL_DIGEST, ""))
    return who | {f"about {about}"} if about else who


def _stale(client: MlflowClient, run: Run, logged: list[LoggedModel]) -> Stale:
    places = [run.info.artifact_uri, *(each.artifact_location for each in logged)]
    kind = run.data.tags.get(KIND, "")

    def remove() -> None:
        for model in logged:
            _delete_model(client, model)
        _delete_run(client, run)

    return Stale(
        name=f"{kind} {run.info.run_id}",
        num_bytes=sum(size(path) for path in map(_local, places) if path),
        remove=remove,
    )


def _local(uri: str) -> Path | None:
    parsed = urlparse(uri)
    return Path(unquote(parsed.path)) if parsed.scheme in ("", "file") else None


def _delete_run(client: MlflowClient, run: Run) -> None:
    """First marked as deleted, so that nobody uses it; then its files, then its rows.

    A tracking server keeps the last step to itself: there, 'mlflow gc' does it.
    """
    store = _get_store(client.tracking_uri)
    if run.info.lifecycle_stage == "active":
        client.delete_run(run.info.run_id)
    if hasattr(store, "_hard_delete_run"):
        _delete_files(run.info.artifact_uri)
        store._hard_delete_run(run.info.run_id)  # noqa: SLF001 - 'mlflow gc' cannot take these alone


def _delete_model(client: MlflowClient, model: LoggedModel) -> None:
    store = _get_store(client.tracking_uri)
    try:
        client.delete_logged_model(model.model_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    if hasattr(store, "_hard_delete_logged_model"):
        _delete_files(model.artifact_location)
        store._hard_delete_logged_model(model.model_id)  # noqa: SLF001 - as above


def _delete_files(uri: str) -> None:
    path = _local(uri)
    if path is None:
        get_artifact_repository(uri).delete_artifacts()
    else:
        shutil.rmtree(path.parent if path.name == "artifacts" else path, ignore_errors=True)
