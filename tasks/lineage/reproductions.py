"""Reports of reproductions, as a trace finds them; this file imports no torch."""

from mlflow import MlflowClient

from tasks.lineage.trace_records import TracedReproduction
from tasks.registry import tags

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
    about = f"tags.`{tags.KIND}` = '{KIND}' and tags.`{tags.MODEL_DIGEST}` = '{digest}'"
    runs = client.search_runs(
        [experiment.experiment_id],
        f"{about} and attributes.status = 'FINISHED'",
        max_results=MOST,
        order_by=["attributes.start_time DESC"],
    )
    return tuple(
        TracedReproduction(
            run_id=run.info.run_id,
            when=run.data.tags.get(tags.WHEN, ""),
            verdict=run.data.tags.get(tags.VERDICT, ""),
        )
        for run in runs
    )
