"""Reports of reproductions, as a trace finds them; this file imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.lineage.trace_records import TracedReproduction
from tasks.registry import quick_reads, tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

KIND = "reproduce"
"""Kind of the MLflow run that keeps a report."""
MOST = 10
"""Newest reports that are told."""


def find(client: MlflowClient, model: str, digest: str) -> tuple[TracedReproduction, ...]:
    """Reports about a registered version, the newest first.

    Args:
        client: Of the store.
        model: Name of the registered model.
        digest: Of the version's packaged detector.
    """
    experiment = client.get_experiment_by_name(model)
    if experiment is None or not digest:
        return ()
    about = {tags.KIND: KIND, tags.MODEL_DIGEST: digest}
    runs = quick_reads.tagged_runs(client, experiment.experiment_id, about, MOST)
    return tuple(
        TracedReproduction(
            run_id=run.info.run_id,
            when=run.data.tags.get(tags.WHEN, ""),
            verdict=run.data.tags.get(tags.VERDICT, ""),
        )
        for run in runs
    )
