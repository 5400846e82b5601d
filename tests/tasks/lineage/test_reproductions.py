from tasks.lineage import reproductions
from tasks.registry import mlflow_store


def test_only_finished_reports_about_this_very_model_are_found(repository):
    about = {"model_digest": "a" * 64, "verdict": "identical", "when": "2026-01-01T00:00:00"}
    with mlflow_store.run(reproductions.KIND, "squares", tags=about, params={}) as kept:
        assert reproductions.find(mlflow_store.client(), "squares", "a" * 64) == ()
    with mlflow_store.run("fit", "squares", tags=about, params={}):
        pass
    (found,) = reproductions.find(mlflow_store.client(), "squares", "a" * 64)
    assert (found.run_id, found.verdict) == (kept.info.run_id, "identical")
    assert reproductions.find(mlflow_store.client(), "squares", "b" * 64) == ()
