"""Remains: what a killed retrain leaves behind, and what keeps it little.

Temporary files of a retrain, those of the libraries included, lie in one folder whose name is noted
before it is made. So whoever has the next turn can take away what a killed process could not.
"""

import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tasks.platform import prefect_server
from tasks.registry import mlflow_store
from tasks.registry.tags import FLOW_RUN_ID

log = logging.getLogger(__name__)

PREFIX = "unseen-retrain-"
"""Begins the names of folders for temporary files."""
SECONDS = 30.0
"""How long the Prefect server may take to note that a flow run has crashed."""


def scratch_name() -> Path:
    """A name for the folder of a retrain's temporary files; nothing is made yet."""
    return Path(tempfile.gettempdir()) / f"{PREFIX}{uuid.uuid4().hex[:12]}"


@contextmanager
def scratch(folder: Path) -> Iterator[None]:
    """Let all temporary files of this process lie in a new folder, which is gone afterwards."""
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    folder.mkdir(mode=0o700)
    try:
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
        yield
    finally:
        tempfile.tempdir = before[0]
        os.environ.pop("TMPDIR")
        if before[1] is not None:
            os.environ["TMPDIR"] = before[1]
        shutil.rmtree(folder, ignore_errors=True)


def clear(name: str, note: Mapping[str, Any]) -> None:
    """Clear away what a killed retrain of a model has left, as far as its note tells.

    Its temporary files go, its unfinished MLflow runs are marked as killed, and its flow run as
    crashed if the Prefect server that knows it answers. Finished steps stay.

    Args:
        name: The registered model.
        note: That the killed process kept while it had the turn.

    Raises:
        RegistryError: If the MLflow store does not answer.
    """
    folder = Path(str(note.get("scratch", "")))
    if folder.name.startswith(PREFIX) and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)
    if flow_run := str(note.get("flow_run", "")):
        _mark_runs(name, flow_run)
        _mark_flow_run(flow_run)


def _mark_runs(name: str, flow_run: str) -> None:
    client = mlflow_store.client()
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return
    wanted = f"attributes.status = 'RUNNING' and tags.`{FLOW_RUN_ID}` = '{flow_run}'"
    for run in client.search_runs([experiment.experiment_id], wanted):
        client.set_terminated(run.info.run_id, "KILLED")


def _mark_flow_run(flow_run: str) -> None:
    api = prefect_server.running()
    if api is None:
        return
    path = f"/flow_runs/{flow_run}"
    state = {"type": "CRASHED", "name": "Crashed", "message": "Its process was killed."}
    try:
        found = prefect_server.call(api, "GET", path, seconds=SECONDS)
        if found["state_type"] == "RUNNING":
            content = {"state": state, "force": True}
            prefect_server.call(api, "POST", f"{path}/set_state", content=content, seconds=SECONDS)
    except (httpx.HTTPError, ValueError, KeyError) as error:
        log.info("The flow run %s could not be marked as crashed: %s.", flow_run, error)
