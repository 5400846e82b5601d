"""Drift over time: what each look at a served version has found, as MLflow's runs keep it."""

from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Run

from tasks.console.overview import moment
from tasks.registry.tags import DRIFT, DRIFT_WHY, KIND, MODEL_VERSION

MOST_RUNS = 500
"""Newest looks that are told."""
PREFIX = "drift."


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at what a version was shown; see ``tasks.serving.monitoring.report_drift``."""

    run_id: str
    when: str
    """UTC, ISO 8601."""
    version: int
    verdict: str
    why: str
    figures: dict[str, float]
    """By the names that ``report_drift.figures`` gives them, without ``drift.``."""


def looks(client: MlflowClient, name: str) -> list[Look]:
    """All looks at a registered model that came to a verdict, the oldest first."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return []
    runs = client.search_runs(
        [experiment.experiment_id],
        f"tags.`{KIND}` = 'monitor' and attributes.status = 'FINISHED'",
        max_results=MOST_RUNS,
        order_by=["attributes.start_time DESC"],
    )
    return [_look(run) for run in reversed(runs)]


def _look(run: Run) -> Look:
    tags = run.data.tags
    return Look(
        run_id=run.info.run_id,
        when=moment(run.info.start_time),
        version=int(tags.get(MODEL_VERSION, 0)),
        verdict=tags.get(DRIFT, ""),
        why=tags.get(DRIFT_WHY, ""),
        figures={
            key.removeprefix(PREFIX): value
            for key, value in sorted(run.data.metrics.items())
            if key.startswith(PREFIX) and abs(value) < float("inf")
        },
    )
