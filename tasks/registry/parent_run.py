"""The MLflow run of a whole retrain, which is the parent of the runs of its steps.

It is made with the first step that is computed, so that a retrain that finds nothing new leaves
none. In the list of runs it stands for its steps: it has the figures and the decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tasks.platform import flow_run
from tasks.registry.tags import FLOW_RUN_ID, KIND

if TYPE_CHECKING:
    from mlflow import MlflowClient

FLOWS = ("retrain", "adapt")
"""Flows whose steps are MLflow runs that belong together; also what the parent's kind is."""
_made: dict[str, str] = {}
"""Parent of each flow run of this process."""


def of_flow(client: MlflowClient, experiment_id: str, about: str) -> str | None:
    """Id of the parent of this flow run's runs, made on first use; None if it should have none.

    Args:
        client: Of the store.
        experiment_id: That the runs belong to.
        about: What the retrain is about, for the parent's name.
    """
    flow_run_id, kind = flow_run.current(), flow_run.flow_name()
    if not flow_run_id or kind not in FLOWS:
        return None
    if flow_run_id not in _made:
        wanted = f"tags.`{FLOW_RUN_ID}` = '{flow_run_id}' and tags.`{KIND}` = '{kind}'"
        found = client.search_runs([experiment_id], wanted, max_results=1)
        if found:  # the flow run was begun by another process
            run_id = found[0].info.run_id
            client.update_run(run_id, status="RUNNING")
        else:
            tags = {FLOW_RUN_ID: flow_run_id, KIND: kind}
            made = client.create_run(experiment_id, run_name=f"{kind} {about}", tags=tags)
            run_id = made.info.run_id
        _made[flow_run_id] = str(run_id)
    return _made[flow_run_id]


def end(
    client: MlflowClient,
    status: str,
    tags: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> None:
    """End the parent of this flow run's runs, if there is one.

    Args:
        client: Of the store.
        status: ``FINISHED``, ``FAILED`` or ``KILLED``.
        tags: To set on it.
        metrics: To log to it.
    """
    run_id = _made.pop(flow_run.current(), None)
    if run_id is None:
        return
    for key, value in (tags or {}).items():
        client.set_tag(run_id, key, value)
    for key, number in (metrics or {}).items():
        client.log_metric(run_id, key, number)
    client.set_terminated(run_id, status)
