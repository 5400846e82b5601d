"""The flow run around the present code, as Prefect's pages show it: name, tags, turn."""

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

from tasks.platform.step_names import SHORT
from tasks.records import DataVersion

LOGGERS = "tasks,flows,models"
"""Whose records stand in a flow run's log."""


def set_up_logs() -> None:
    """Let our own loggers tell a flow run's log; before Prefect is imported."""
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", LOGGERS)
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")


def current() -> str:
    """Id of the flow run, or empty outside of one."""
    from prefect.runtime import flow_run

    return str(flow_run.id or "")


def flow_name() -> str:
    """Name of the flow, or empty outside of one."""
    from prefect.runtime import flow_run

    return str(flow_run.flow_name or "")


def is_deployed() -> bool:
    """Whether a deployment made the flow run, so that a worker runs it, and would do so again."""
    from prefect.runtime import deployment

    return bool(deployment.id)


def mark(name: str = "", tags: Iterable[str] = ()) -> None:
    """Give the flow run another name, if one is given, and more tags; nothing outside of one."""
    run_id = current()
    if not run_id:
        return
    from prefect import get_client

    with get_client(sync_client=True) as client:
        known = client.read_flow_run(run_id)
        more = list(dict.fromkeys([*known.tags, *tags]))
        client.update_flow_run(run_id, name=name or known.name, tags=more)


def first_name() -> str:
    """Name of a flow run that begins: the flow, and the recipe, model or data it is about."""
    from prefect.runtime import flow_run

    return f"{flow_run.flow_name} {_about(flow_run.parameters)}".strip()


def name_after_data(_task: Any, _run: Any, state: Any) -> None:
    """Hook of the task that brings data in: name the flow run by recipe and data version."""
    from prefect.runtime import flow_run

    version = state.result()
    assert isinstance(version, DataVersion)
    about, digest = _about(flow_run.parameters) or version.name, version.digest[:SHORT]
    mark(f"{about} {digest}", [f"recipe:{about}", f"data:{version.name}", f"digest:{digest}"])


def postpone(seconds: float, why: str) -> NoReturn:
    """End this process and have the deployment's worker run the flow run again later.

    Until then it takes no place of the worker.

    Args:
        seconds: From now.
        why: Is told with the state.
    """
    from prefect import get_client
    from prefect.exceptions import Pause
    from prefect.states import AwaitingRetry

    when = datetime.now(UTC) + timedelta(seconds=seconds)
    state = AwaitingRetry(scheduled_time=when, message=why)
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(current(), state, force=True)
    raise Pause(state=state)


def _about(parameters: Mapping[str, Any]) -> str:
    """The model that a flow run names, else its recipe without the path."""
    recipe = Path(str(parameters.get("recipe") or "").rpartition(":")[2]).stem
    return str(parameters.get("name") or recipe or "")
