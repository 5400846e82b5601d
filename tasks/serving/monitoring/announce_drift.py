"""Announce: tell of drift as a Prefect event, which an automation can answer with a retrain."""

from prefect import task
from prefect.events import emit_event

from models.functional.drift import DRIFT
from tasks.platform import events
from tasks.serving.monitoring.drift import DriftReport
from tasks.serving.monitoring.log_drift import figures


@task(task_run_name="announce drift", timeout_seconds=60)
def announce(report: DriftReport, run_id: str) -> str:
    """Return the id of the event ``unseen.drift.detected``; empty if there is no drift.

    Its resource is ``unseen.model.<name>``; its payload names the version, why it is called drift,
    the figures and the MLflow run. Each look that finds drift emits one.

    Args:
        report: What was found.
        run_id: MLflow run that holds it.
    """
    if report.verdict != DRIFT:
        return ""
    resource = {
        "prefect.resource.id": events.model(report.model),
        "prefect.resource.name": report.model,
        "unseen.model.version": str(report.version),
    }
    payload = {
        "model": report.model,
        "version": report.version,
        "why": report.why,
        "run_id": run_id,
        "frames": report.recent.frames,
        "figures": figures(report),
    }
    event = emit_event(event=events.DRIFT_DETECTED, resource=resource, payload=payload)
    return str(event.id) if event else ""
