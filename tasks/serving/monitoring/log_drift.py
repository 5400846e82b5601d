"""Log drift: one MLflow run with the report, its figures and its picture, for a model version."""

import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import mlflow
from mlflow.entities import Metric
from prefect import task

from models.functional.drift import UNKNOWN
from tasks.platform.outages import RETRIED, WRITE_SECONDS
from tasks.registry import history, mlflow_store, model_versions
from tasks.registry.tags import DRIFT
from tasks.serving.monitoring import drift_plots
from tasks.serving.monitoring.drift import DriftReport


@task(
    task_run_name="monitor {report.model} {report.version}",
    timeout_seconds=WRITE_SECONDS,
    **RETRIED,
)
def log_drift(report: DriftReport) -> str:
    """Return the run that holds the report; none is made, and its id is empty, without a verdict.

    The run has the model version among its tags and its figures name the logged model. The version
    gets the tag ``unseen.drift`` with the last verdict.

    Raises:
        NotFoundError: If the version is gone.
    """
    if report.verdict == UNKNOWN:
        return ""
    client = mlflow_store.client()
    version = model_versions.resolve(client, report.model, report.version)
    tags = {
        "model_name": report.model,
        "model_version": str(report.version),
        "model_run_id": str(version.run_id),
        "drift": report.verdict,
        "drift_why": report.why,
    }
    with mlflow_store.run("monitor", report.model, tags=tags, params={}) as active:
        run_id = str(active.info.run_id)
        client.log_batch(run_id, metrics=_entities(report, version.source, run_id))
        with tempfile.TemporaryDirectory() as folder:
            text = json.dumps(asdict(report), indent=1)
            (Path(folder) / "report.json").write_text(text)
            drift_plots.drift(report).savefig(Path(folder) / "drift.png")
            mlflow.log_artifacts(folder, "drift")
    verdict = {"verdict": report.verdict, "why": report.why, "run_id": run_id}
    told = json.dumps({**verdict, "when": history.now()})
    client.set_model_version_tag(report.model, str(report.version), DRIFT, told)
    return run_id


def figures(report: DriftReport) -> dict[str, float]:
    """The report's figures as metrics; those that are not known are left out."""
    recent = report.recent
    known = {
        "drift.frames": recent.frames,
        "drift.frames_overall": report.overall.frames,
        "drift.frechet": recent.distance,
        "drift.frechet_overall": report.overall.distance,
        "drift.frechet_limit": report.limit,
        "drift.frechet_typical": report.typical,
        "drift.uniformity": recent.uniformity,
        "drift.uniformity_p_value": recent.uniformity_p_value,
        "drift.alarm_rate": recent.alarm_rate,
        "drift.alarm_rate_low": recent.alarm_rate_low,
        "drift.alarm_rate_high": recent.alarm_rate_high,
        "drift.alarm_rate_promised": report.promised_alarm_rate,
    }
    return {name: float(value) for name, value in known.items() if value is not None}


def _entities(report: DriftReport, source: str, run_id: str) -> list[Metric]:
    """Metrics that know the model they are about."""
    model_id, moment = source.removeprefix("models:/"), int(time.time() * 1000)
    return [
        Metric(name, value, moment, 0, model_id=model_id, run_id=run_id)
        for name, value in figures(report).items()
    ]
