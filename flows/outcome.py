"""Outcome: what a flow run shows in Prefect's pages when it ends: state, tags, and artifacts.

States keep Prefect's own names, because automations listen to these; what happened is the state's
message. Artifacts show figures and pictures, and lead to MLflow's pages. None of it is a record: it
may fail without the flow failing.
"""

import base64
import io
import logging
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec
from urllib.parse import quote

from mlflow import MlflowClient
from PIL import Image
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.states import Completed, Failed

from flows import steps
from models.errors import DataValidationError, UnseenError
from tasks.notices import dispatcher
from tasks.platform import flow_run
from tasks.records import Decision, Monitored
from tasks.registry import history, mlflow_server, mlflow_store, parent_run, version_facts
from tasks.registry.tags import METRIC, PRETEXT_RUN_ID, RUN_ID, VALIDATION_RUN_ID
from tasks.training import crash_remains
from tasks.training.retrain_turn import NotYetError, OccupiedError

P = ParamSpec("P")
WIDEST = 900
"""Pixels of a picture in Prefect's pages."""
DONE = {  # by a comparison just now, or by whoever decided about the same version before
    "promote": "Promoted",
    "refuse": "Refused",
    "rollback": "Rolled back",
    "pin": "Pinned",
    history.BY_MLFLOW: "Set in MLflow to",
}
DOCS = "validation/data_docs"
VIEW = "?workflowType=machine_learning"
"""Ends addresses of MLflow's pages: a new browser shows those of language models otherwise."""
log = logging.getLogger(__name__)


def told(body: Callable[P, Any]) -> Callable[P, Any]:
    """Decorate a flow's body: its state says what came of it, and artifacts show it.

    A flow that should wait for its turn gives its place up meanwhile, if a worker runs it.
    """

    @wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> Any:
        steps.observe()
        try:
            with crash_remains.noted():
                result = body(*args, **kwargs)
        except NotYetError as error:
            flow_run.postpone(error.seconds, str(error))
        except UnseenError as error:
            _quietly(_show_failure, error)
            _quietly(_tell, error)
            _quietly(_end_parent, "FAILED")
            return Failed(message=reason(error), data=error)
        except Exception as error:
            _quietly(_tell, error)
            _quietly(_end_parent, "FAILED")
            raise
        except BaseException:  # somebody ends it
            _quietly(_end_parent, "KILLED")
            raise
        _quietly(_show, result)
        _quietly(_end_parent, result)
        return Completed(message=sentence(result), data=result)

    return run


def sentence(result: Decision | Monitored) -> str:
    """What a flow came to, and why: ``Promoted 4: its frame_auc is ...``."""
    if isinstance(result, Monitored):
        return f"{result.verdict.capitalize()}: {result.why}"
    return f"{DONE.get(result.action, result.action.capitalize())} {result.version}: {result.why}"


def reason(error: Exception) -> str:
    """What a failure came to: ``Data refused: 3 files``, or the first sentence of the error."""
    if isinstance(error, DataValidationError):
        return f"Data refused: {error.summary}"
    return str(error).partition("\n")[0]


def _quietly(show: Callable[[Any], None], what: Any) -> None:
    """Nobody's retrain should fail because a page could not be made."""
    try:
        show(what)
    except Exception as error:  # one line: whoever retrains has no use for a traceback
        log.warning("What came of it could not be shown in the pages: %s", reason(error))
        log.debug("The reason:", exc_info=True)


def _tell(error: Exception) -> None:
    """Tell whoever wants to know that a flow has failed, or its data were refused."""
    if isinstance(error, OccupiedError):  # somebody else is at it, and this one was not to wait
        return
    topic = "refused" if isinstance(error, DataValidationError) else "failed"
    why = reason(error) if isinstance(error, UnseenError) else f"{type(error).__name__}: {error}"
    dispatcher.tell(topic, flow_run.first_name(), f"{flow_run.first_name()}: {why}")


def _show(result: Decision | Monitored) -> None:
    if isinstance(result, Monitored):
        _show_drift(result)
    else:
        _show_decision(result)


def _show_decision(decision: Decision) -> None:
    client, key = mlflow_store.client(), _key(decision.name)
    tags = client.get_model_version(decision.name, str(decision.version)).tags
    flow_run.mark(tags=[f"model:{decision.name}", f"decision:{decision.action}"])
    page = _version_page(decision.name, decision.version)
    figures = [
        {"figure": name.removeprefix(METRIC), "value": f"{float(value):.4f}", "MLflow": page}
        for name, value in sorted(tags.items())
        if name.startswith(METRIC)
    ]
    create_table_artifact(figures, key=f"{key}-figures", description=_link("in MLflow", page))
    steps = {"validate": VALIDATION_RUN_ID, "pretrain": PRETEXT_RUN_ID, "fit": RUN_ID}
    links = [
        f"* {step}: {_link(tags[tag][:8], _run_page(client, tags[tag]))}"
        for step, tag in steps.items()
        if tags.get(tag)
    ]
    serves = f"version {decision.champion}" if decision.champion else "no version"
    create_markdown_artifact(
        "\n".join(
            (
                f"## {sentence(decision).partition(':')[0]}",
                f"\n{decision.why}\n",
                f"* {decision.name} is served by {serves}, decided by {decision.who}",
                f"* version: {_link(f'{decision.name} {decision.version}', page)}",
                *links,
            )
        ),
        key=f"{key}-decision",
        description=decision.why,
    )
    _show_picture(client, tags[RUN_ID], "evaluation/result.png", f"{key}-picture")
    _show_docs(client, tags.get(VALIDATION_RUN_ID, ""), key)


def _show_drift(found: Monitored) -> None:
    key = _key(found.name)
    flow_run.mark(
        f"{found.name} {found.version}", [f"model:{found.name}", f"drift:{found.verdict}"]
    )
    if not found.run_id:
        return
    client = mlflow_store.client()
    page = _run_page(client, found.run_id, "drift/report.json")
    create_markdown_artifact(
        f"## {found.name} {found.version}: {found.verdict}\n\n{found.why}\n\n"
        f"* recent frames: {found.frames}\n* report: {_link(found.run_id[:8], page)}",
        key=f"{key}-drift",
        description=found.why,
    )
    _show_picture(client, found.run_id, "drift/drift.png", f"{key}-drift-picture")


def _show_failure(error: UnseenError) -> None:
    if isinstance(error, DataValidationError):
        flow_run.mark(tags=["decision:data refused"])
        create_markdown_artifact(
            f"## {reason(error)}\n\n```\n{error}\n```",
            key="data-refused",
            description=reason(error),
        )
        _show_docs(mlflow_store.client(), error.run_id, "data-refused")


def _show_docs(client: MlflowClient, run_id: str, key: str) -> None:
    page = _run_page(client, run_id, f"{DOCS}/index.html") if run_id else ""
    if page:
        create_link_artifact(page, link_text="Data Docs in MLflow", key=f"{key}-data-docs")


def _show_picture(client: MlflowClient, run_id: str, path: str, key: str) -> None:
    """The picture itself, because a browser need not reach the store."""
    found = version_facts.run_artifact(client, run_id, path)
    if found is None:
        return
    picture = Image.open(found).convert("RGB")
    picture.thumbnail((WIDEST, WIDEST * 4))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    page = _run_page(client, run_id, path)
    create_image_artifact(
        f"data:image/png;base64,{encoded}", key=key, description=_link("in MLflow", page)
    )


def _end_parent(result: Decision | Monitored | str) -> None:
    """End the MLflow run of the whole flow run, by what came of it or with a status."""
    client = mlflow_store.client()
    if not isinstance(result, Decision):
        parent_run.end(client, result if isinstance(result, str) else "FINISHED")
        return
    tags = client.get_model_version(result.name, str(result.version)).tags
    figures = {
        name.removeprefix(METRIC): float(value)
        for name, value in tags.items()
        if name.startswith(METRIC)
    }
    facts = {
        "decision": result.action,
        "model_version": str(result.version),
        **{name: tags[name] for name in ("recipe", "data_digest") if name in tags},
        "mlflow.note.content": sentence(result),
    }
    parent_run.end(client, "FINISHED", facts, figures)


def _key(name: str) -> str:
    """A key of Prefect's artifacts: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"


def _link(text: str, page: str) -> str:
    return f"[{text}]({page})" if page else text


def _version_page(name: str, version: int) -> str:
    top = mlflow_server.address()
    return f"{top}/#/models/{quote(name)}/versions/{version}{VIEW}" if top else ""


def _run_page(client: MlflowClient, run_id: str, artifact: str = "") -> str:
    top = mlflow_server.address()
    if not top:
        return ""
    experiment = client.get_run(run_id).info.experiment_id
    below = f"/artifacts/{quote(artifact)}" if artifact else ""
    return f"{top}/#/experiments/{experiment}/runs/{run_id}{below}{VIEW}"
