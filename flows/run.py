"""One run of a flow from a person's process: against a Prefect server, and quietly."""

import gc
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from flows import explain_failure
from tasks.platform import prefect_server, progress
from tasks.registry import mlflow_store

NOISE = re.compile(r"Still processing|Running hook|Hook '|Finished in state Failed")
"""Begins of what Prefect says that nobody needs while a flow runs."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A flow run that ended well."""

    result: Any
    flow_run_id: str
    api_url: str
    """Of the Prefect server that knows it."""


def run(flow: str, *arguments: object, **options: object) -> Finished:
    """Run the flow that a file of this folder is named after; a local server is started if needed.

    Raises:
        UnseenError: As the tasks raise it.
    """
    mlflow_store.check_answers()  # before anything is started or computed
    with progress.waiting("Starting: libraries, and the Prefect server if none runs here"):
        url = prefect_server.connect()
        with without_collecting():
            body = getattr(import_module(f"flows.{flow}"), flow)  # meanwhile the server starts
        prefect_server.wait_until_healthy(url)
    with _for_people():
        state = body(*arguments, **options, return_state=True)
    return Finished(
        result=state.result(), flow_run_id=str(state.state_details.flow_run_id), api_url=url
    )


@contextmanager
def without_collecting() -> Iterator[None]:
    """Look for no garbage while libraries are imported: a million objects are made, and stay."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@contextmanager
def _for_people() -> Iterator[None]:
    """Say on the screen, while a flow runs, what a person has to know; the server keeps it all."""
    runs = [logging.getLogger(f"prefect.{kind}_runs") for kind in ("flow", "task")]
    filtered: list[tuple[logging.Filterer, Any]] = [
        (each, _without_expected_failures) for each in runs
    ]
    filtered += [(each, _is_for_people) for each in logging.getLogger().handlers]
    for each, kept in filtered:
        each.addFilter(kept)
    try:
        yield
    finally:
        for each, kept in filtered:
            each.removeFilter(kept)


def _without_expected_failures(record: logging.LogRecord) -> bool:
    """Keep tracebacks of failures that the command tells in one sentence out of the log."""
    return not explain_failure.is_expected(record.exc_info[1] if record.exc_info else None)


def _is_for_people(record: logging.LogRecord) -> bool:
    """Keep off the screen how Prefect works, and failures, which the command tells at its end."""
    return not record.exc_info and not NOISE.match(record.getMessage())
