"""OpenLineage: tell other tools' graphs what each step read and made (openlineage.io).

Where to, the client's own variables say (``OPENLINEAGE_URL`` and so on); without them nothing here
is imported. A step is a run under the id of its task run in Prefect, with the flow run as parent.
Events are sent by a thread of their own: a step waits for none and fails for none.
"""

import atexit
import inspect
import logging
import os
import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.data.rows import Row
from tasks.platform import git, workspace
from tasks.platform.identity import pool
from tasks.records import DataVersion, Decision, Report, TrainedModel, Validation

log = logging.getLogger(__name__)

VARIABLE = "OPENLINEAGE_URL"
PRODUCER = "urn:unseen"
MOST_FAILURES = 3
"""Events that are not taken, one after the other, until no more are sent."""
END_SECONDS = 10.0
"""How long a process may wait at its end for what is still to be sent."""

_events: "queue.Queue[Any]" = queue.Queue(1000)
_started: set[str] = set()
_observed: set[str] = set()
_data: dict[str, DataVersion] = {}


def observe(*steps: Any) -> None:
    """Tell of these tasks from now on, if there is anybody to be told; see ``VARIABLE``.

    Args:
        *steps: Tasks of Prefect, whose results are records.
    """
    if not os.environ.get(VARIABLE):
        return
    if not _observed and not _begin():
        return
    for step in steps:
        if step.name not in _observed:
            _observed.add(step.name)
            step.on_running_hooks.append(_running)
            step.on_completion_hooks.append(_completed)
            step.on_failure_hooks.append(_failed)


def _begin() -> bool:
    """Start to send; whether the client is installed."""
    try:
        from openlineage.client import OpenLineageClient
    except ImportError:
        log.warning("%s is set, and its client is missing. Install unseen[openlineage].", VARIABLE)
        return False
    sender = threading.Thread(target=_send, args=(OpenLineageClient(),), daemon=True)
    sender.start()

    def finish() -> None:
        with suppress(queue.Full):
            _events.put(None, timeout=1.0)
            sender.join(END_SECONDS)

    atexit.register(finish)
    return True


def _send(client: Any) -> None:
    failures = 0
    while (event := _events.get()) is not None:
        if failures == MOST_FAILURES:
            continue
        try:
            client.emit(event)
            failures = 0
        except Exception as error:
            failures += 1
            log.warning("OpenLineage took no event: %s.", type(error).__name__)


def _running(step: Any, run: Any, state: Any) -> None:  # noqa: ARG001
    _tell("START", step, run)


def _completed(step: Any, run: Any, state: Any) -> None:
    _tell("START", step, run)  # what is remembered never ran
    _tell("COMPLETE", step, run, result=state.result(raise_on_failure=False))


def _failed(step: Any, run: Any, state: Any) -> None:
    _tell("START", step, run)
    _tell("FAIL", step, run, message=str(state.message or state.name))


def _tell(kind: str, step: Any, run: Any, result: Any = None, message: str = "") -> None:
    """Queue one event; whatever goes wrong in here, the step goes on."""
    if kind == "START" and str(run.id) in _started:
        return
    _started.add(str(run.id))
    try:
        _events.put_nowait(event(kind, step, run, result, message))
    except Exception:
        log.warning("An event for OpenLineage could not be made.", exc_info=True)


def event(kind: str, step: Any, run: Any, result: Any, message: str) -> Any:
    """An event as OpenLineage's client has it.

    Args:
        kind: ``START``, ``COMPLETE`` or ``FAIL``.
        step: The task.
        run: Its task run.
        result: The record that it returned; None if it has not.
        message: Why it failed.
    """
    from openlineage.client import event_v2 as ol
    from openlineage.client.facet_v2 import error_message_run, parent_run

    ours = os.environ.get("OPENLINEAGE_NAMESPACE") or pool()
    facets: dict[str, Any] = {}
    if run.flow_run_id:
        facets["parent"] = parent_run.ParentRunFacet(
            run=parent_run.Run(runId=str(run.flow_run_id)),
            job=parent_run.Job(namespace=ours, name=_flow_name()),
            producer=PRODUCER,
        )
    if message:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            message=message, programmingLanguage="Python", producer=PRODUCER
        )
    return ol.RunEvent(
        eventType=ol.RunState[kind],
        eventTime=datetime.now(UTC).isoformat(),
        run=ol.Run(runId=str(run.id), facets=facets),
        job=ol.Job(
            namespace=ours,
            name=f"{_flow_name()}.{step.name}",
            facets={"sourceCodeLocation": _code(step)},
        ),
        producer=PRODUCER,
        inputs=[ol.InputDataset(ours, name, facets=made) for name, made in _inputs(result)],
        outputs=[ol.OutputDataset(ours, name, facets=made) for name, made in _outputs(result)],
    )


def _inputs(result: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(result, Validation | TrainedModel | Report) and result.data_digest in _data:
        yield _of_data(_data[result.data_digest])


def _outputs(result: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(result, DataVersion):
        _data[result.digest] = result
        yield _of_data(result)
    elif isinstance(result, TrainedModel):
        yield f"runs/{result.run_id}", {"version": _version(result.model_uri)}
    elif isinstance(result, Decision):
        yield f"models/{result.name}", {"version": _version(str(result.version))}


def _of_data(version: DataVersion) -> tuple[str, dict[str, Any]]:
    """Name and facets of a data set: its version, and the columns of its manifest."""
    from openlineage.client.facet_v2 import schema_dataset

    columns = [
        schema_dataset.SchemaDatasetFacetFields(
            name=each.name, type=getattr(each.type, "__name__", str(each.type))
        )
        for each in fields(Row)
    ]
    schema = schema_dataset.SchemaDatasetFacet(fields=columns, producer=PRODUCER)
    return f"data/{version.name}", {"version": _version(version.digest), "schema": schema}


def _version(name: str) -> Any:
    from openlineage.client.facet_v2 import dataset_version_dataset

    return dataset_version_dataset.DatasetVersionDatasetFacet(
        datasetVersion=name, producer=PRODUCER
    )


def _code(step: Any) -> Any:
    """Where the code of a step is, and at which commit of the workplace, with digest, it ran."""
    from openlineage.client.facet_v2 import source_code_location_job

    path = Path(inspect.getsourcefile(inspect.unwrap(step.fn)) or __file__)
    repository = git.setting(workspace.root(), "remote.origin.url")
    return source_code_location_job.SourceCodeLocationJobFacet(
        type="git",
        url=path.resolve().as_uri(),
        repoUrl=repository or None,
        version=workspace.git_commit(),
        tag=workspace.code_version(),
        producer=PRODUCER,
    )


def _flow_name() -> str:
    from prefect.runtime import flow_run

    return str(flow_run.flow_name or "task")
