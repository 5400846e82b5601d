"""Remains: what a killed retrain leaves behind, and what keeps it little.

Temporary files of a retrain, those of the libraries included, lie in one folder whose name is noted
before it is made. So whoever has the next turn can take away what a killed process could not. Each
flow run is noted with its process from its first line on, before it has a turn.
"""

import json
import logging
import os
import platform
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from tasks.platform import files, flow_run, prefect_server, workspace
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


@contextmanager
def noted() -> Iterator[None]:
    """Keep a note of the flow run and its process, as long as it is under way."""
    if not (run := flow_run.current()):
        yield
        return
    note = _notes() / f"{run}.json"
    note.parent.mkdir(parents=True, exist_ok=True)
    process = {"host": platform.node(), "pid": os.getpid(), "begun": psutil.Process().create_time()}
    files.write(note, json.dumps(process))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def mark_dead() -> None:
    """Mark the flow runs whose processes were killed on this machine as crashed.

    Where the Prefect server does not answer, it is left to the next one.
    """
    for note in sorted(_notes().glob("*.json")):
        if not _lives(note):
            if not _mark_flow_run(note.stem):
                return
            note.unlink(missing_ok=True)


def _notes() -> Path:
    return workspace.home() / "flow_runs"


def _lives(note: Path) -> bool:
    """Whether the process of a note is there, as far as can be seen from this machine."""
    try:
        known = json.loads(note.read_text())
        if known["host"] != platform.node():
            return True
        return bool(abs(psutil.Process(known["pid"]).create_time() - known["begun"]) < 1)
    except psutil.NoSuchProcess:
        return False
    except (OSError, ValueError, LookupError, TypeError, psutil.Error):
        return True


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
    if run := str(note.get("flow_run", "")):
        _mark_runs(name, run)
        _mark_flow_run(run)


def _mark_runs(name: str, flow_run_id: str) -> None:
    client = mlflow_store.client()
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return
    wanted = f"attributes.status = 'RUNNING' and tags.`{FLOW_RUN_ID}` = '{flow_run_id}'"
    for run in client.search_runs([experiment.experiment_id], wanted):
        client.set_terminated(run.info.run_id, "KILLED")


def _mark_flow_run(run: str) -> bool:
    """Mark a flow run as crashed, unless it has ended; whether the server has answered."""
    api = prefect_server.running()
    if api is None:
        return False
    path = f"/flow_runs/{run}"
    state = {"type": "CRASHED", "name": "Crashed", "message": "Its process was killed."}
    try:
        found = prefect_server.call(api, "GET", path, seconds=SECONDS)
        if found["state_type"] == "RUNNING":
            content = {"state": state, "force": True}
            prefect_server.call(api, "POST", f"{path}/set_state", content=content, seconds=SECONDS)
    except (httpx.HTTPError, ValueError, KeyError) as error:
        log.info("The flow run %s could not be marked as crashed: %s.", run, error)
        return isinstance(error, httpx.HTTPStatusError)
    return True
