"""Report drift: as an MLflow run with its figures and picture, and as a Prefect event."""

import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
from mlflow.entities import Metric
from prefect import task
from prefect.events import emit_event

from models.functional.drift import DRIFT as DRIFTED
from models.functional.drift import UNKNOWN
from tasks.evaluation.plots import BLUE, INK, ORANGE, SKY, new_figure, styled
from tasks.notices import dispatcher
from tasks.platform import events
from tasks.platform.outages import RETRIED, WRITE_SECONDS
from tasks.registry import card, history, mlflow_store, model_versions
from tasks.registry.tags import DRIFT
from tasks.serving.monitoring.drift import DriftReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
            picture(report).savefig(Path(folder) / "drift.png")
            mlflow.log_artifacts(folder, "drift")
    verdict = {"verdict": report.verdict, "why": report.why, "run_id": run_id}
    told = json.dumps({**verdict, "when": history.now()})
    client.set_model_version_tag(report.model, str(report.version), DRIFT, told)
    card.refresh(client, report.model, report.version)
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


@task(task_run_name="announce drift", timeout_seconds=60)
def announce(report: DriftReport, run_id: str) -> str:
    """Return the id of the event ``unseen.drift.detected``; empty if there is no drift.

    Its resource is ``unseen.model.<name>``; its payload names the version, why it is called drift,
    the figures and the MLflow run. Each look that finds drift emits one.

    Args:
        report: What was found.
        run_id: MLflow run that holds it.
    """
    if report.verdict != DRIFTED:
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
    told = f"Drift of {report.model} version {report.version}: {report.why}"
    dispatcher.tell("drift", report.model, told)
    event = emit_event(event=events.DRIFT_DETECTED, resource=resource, payload=payload)
    return str(event.id) if event else ""


@styled
def picture(report: DriftReport) -> "Figure":
    """The p-values of the frames that were served, and their distance from normal over time."""
    figure = new_figure(10.0, 3.8)
    left, right = figure.subplots(1, 2)
    _draw_p_values(left, report)
    _draw_distances(right, report)
    figure.suptitle(f"{report.model} version {report.version}: {report.verdict}")
    return figure


def _draw_p_values(ax: "Axes", report: DriftReport) -> None:
    """Share of frames by p-value; of normal frames every bin has the same share."""
    for shown, colour, name in (
        (report.overall, SKY, "since it serves"),
        (report.recent, BLUE, "recent"),
    ):
        counts = np.array(shown.p_values, dtype=float)
        edges = np.linspace(0, 1, len(counts) + 1)
        ax.stairs(counts / max(counts.sum(), 1), edges, color=colour, lw=1.8, label=name)
    ax.axhline(1 / len(report.recent.p_values), color=INK, ls="--", lw=1, label="expected")
    ax.set(xlim=(0, 1), xlabel="p-value", ylabel="share of frames")
    ax.legend(loc="upper right", fontsize=9)


def _draw_distances(ax: "Axes", report: DriftReport) -> None:
    """Distance of the recent frames at each point in time, beside what normal frames reach."""
    known = [point for point in report.timeline if point.distance is not None]
    when = [point.when for point in known]
    distances = [point.distance for point in known]
    if report.recent.distance is not None:
        when.append(report.updated)
        distances.append(report.recent.distance)
    if not when:
        ax.text(0.5, 0.5, "This detector has no Gaussian.", ha="center", transform=ax.transAxes)
        return
    moments = np.array([moment.partition("+")[0] for moment in when], dtype="datetime64[s]")
    ax.plot(moments, distances, "o-", color=BLUE, ms=3, lw=1.3)  # type: ignore[arg-type]
    if report.limit is not None:
        ax.axhline(report.limit, color=ORANGE, ls="--", lw=1.2, label="limit of normal frames")
    if report.typical is not None:
        ax.axhline(report.typical, color=INK, ls=":", lw=1, label="normal clips, median")
    ax.set_yscale("log")
    ax.set_ylabel("Fréchet distance of recent frames")
    ax.tick_params(axis="x", rotation=30)
    ax.legend(loc="best", fontsize=9)
