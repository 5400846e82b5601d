"""One run of a flow from the command line: server, quiet console, and what to show at the end."""

import logging
from importlib import import_module
from pathlib import Path

from rich.console import RenderableType

from models.errors import UnseenError
from tasks import orchestrator


def run_retrain(
    recipe: str,
    data: Path | None,
    device: str | None,
    backbone: str | None,
    seed: int | None,
    *,
    keep_encoder: bool = False,
    if_busy: str = "wait",
) -> RenderableType:
    """Run the flow ``retrain`` against a Prefect server and return a summary to print.

    Raises:
        UnseenError: As the tasks raise it.
    """
    arguments = (recipe, data, device, backbone, seed)
    return _run("retrain", *arguments, keep_encoder=keep_encoder, if_busy=if_busy)


def run_adapt(
    source: str,
    name: str,
    data: Path | None,
    device: str | None,
    seed: int | None,
    steps: int | None,
) -> RenderableType:
    """Run the flow ``adapt`` against a Prefect server and return a summary to print.

    Raises:
        UnseenError: As the tasks raise it.
    """
    return _run("adapt", source, name, data, device, seed, steps)


def _run(flow: str, *arguments: object, **options: object) -> RenderableType:
    """Run the flow that a file of this folder is named after."""
    url = orchestrator.connect()
    body = getattr(import_module(f"flows.{flow}"), flow)  # meanwhile the local server starts
    orchestrator.wait_until_healthy(url)
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_without_expected_failures)
    state = body(*arguments, **options, return_state=True)
    decision = state.result()

    from flows.display import retrain_summary

    return retrain_summary(decision, str(state.state_details.flow_run_id), url)


def _without_expected_failures(record: logging.LogRecord) -> bool:
    """Keep tracebacks of our own clear errors out of the log: the command prints them once."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, UnseenError)
