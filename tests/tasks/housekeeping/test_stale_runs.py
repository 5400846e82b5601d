import time

import mlflow

from tasks.housekeeping import stale_runs
from tasks.housekeeping.references import References
from tasks.registry import mlflow_store, version_facts


def find(needed=None, cutoff=None):
    return stale_runs.find(
        mlflow_store.client(), needed or References(), cutoff or time.time() + 3600
    )


def test_a_run_that_was_killed_while_it_was_deleted_is_taken_by_the_next(repository):
    with mlflow_store.run("fit", "squares", tags={}, params={}) as active:
        mlflow.log_text("x" * 10, "a.txt")
    mlflow_store.client().delete_run(active.info.run_id)
    kind, stay = find()
    (stale,) = kind.stale
    assert (stale.name, stale.num_bytes, stay) == (f"fit {active.info.run_id}", 10, [])
    stale.remove()
    assert version_facts.get_run(mlflow_store.client(), active.info.run_id) is None
    assert not list((repository / ".unseen" / "artifacts").rglob("a.txt"))


def test_its_models_go_with_a_run_and_a_needed_model_keeps_its_run(repository, log_detector):
    trained = log_detector()
    model = trained.model_uri.removeprefix("models:/")
    needed = References()
    needed.add(trained.model_uri, "squares 1")
    assert find(needed)[0].stale == []
    (stale,) = find()[0].stale
    assert stale.num_bytes > 10_000
    stale.remove()
    assert mlflow_store.client().search_logged_models(["1"]) == []
    left = (repository / ".unseen" / "artifacts").rglob("*")
    assert [path for path in left if path.is_file()] == []
    assert model


def test_the_parent_of_a_run_that_stays_stays(repository):
    client = mlflow_store.client()
    experiment = mlflow_store.experiment("squares")
    parents = [
        client.create_run(experiment, tags={"unseen.kind": "retrain"}).info.run_id for _ in range(2)
    ]
    for parent in parents:
        with mlflow_store.run("fit", "squares", tags={}, params={}) as active:
            mlflow.set_tag("mlflow.parentRunId", parent)
    needed = References()
    needed.add(active.info.run_id, "squares 1")
    kind, stay = find(needed)
    assert {each.info.run_id for each in stay} == {active.info.run_id, parents[1]}
    assert kind.kept["its steps"] == 1


def test_what_others_logged_is_none_of_our_business(repository):
    mlflow_store.client()
    with mlflow.start_run():
        pass
    assert find() == (find()[0], [])
    assert find()[0].stale == []
