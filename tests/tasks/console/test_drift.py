import mlflow

from tasks.console.drift import looks
from tasks.registry import mlflow_store


def note(verdict, version, **figures):
    tags = {"model_version": version, "drift": verdict, "drift_why": "So it is."}
    with mlflow_store.run("monitor", "squares", tags=tags, params={}) as active:
        mlflow.log_metrics({f"drift.{key}": value for key, value in figures.items()})
    return active.info.run_id


def test_looks_come_in_order_with_their_figures(repository):
    first = note("no drift", "1", frechet=1.5, frames=100)
    second = note("drift", "2", frechet=4.0)
    with mlflow_store.run("fit", "squares", tags={}, params={}):
        mlflow.log_metric("drift.frechet", 9)
    found = looks(mlflow_store.client(), "squares")
    assert [(each.run_id, each.version, each.verdict) for each in found] == [
        (first, 1, "no drift"),
        (second, 2, "drift"),
    ]
    assert found[0].figures == {"frechet": 1.5, "frames": 100}
    assert found[0].why == "So it is."
    assert looks(mlflow_store.client(), "circles") == []
