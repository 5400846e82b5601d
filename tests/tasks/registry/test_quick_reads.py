"""The same answers as MLflow's own client gives, on the same store."""

import math

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tasks.lineage.trace import trace
from tasks.registry import quick_reads, version_facts
from tasks.registry.quick_reads import QuickReads
from tests import old_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The old project's store, and both clients of it."""
    folder = old_store.unpack(tmp_path_factory.mktemp("old") / "project")
    path = folder / ".unseen" / "mlflow.db"
    client = MlflowClient(f"sqlite:///{path}")
    return path, client, QuickReads(path, lambda: client)


def model(record):
    return record.name, dict(record.tags), {k: str(v) for k, v in record.aliases.items()}


def version(record):
    return (
        record.name,
        str(record.version),
        record.run_id,
        record.source,
        record.creation_timestamp,
        dict(record.tags),
    )


def run(record):
    info = record.info
    return (
        info.run_id,
        info.status,
        info.lifecycle_stage,
        info.start_time,
        info.end_time,
        info.artifact_uri,
        dict(record.data.tags),
        dict(record.data.metrics),
    )


def test_this_mlflow_has_the_schema_that_is_known(empty_store, tmp_path):
    assert QuickReads.fits(empty_store)
    assert not QuickReads.fits(tmp_path / "none.db")
    (tmp_path / "other.db").write_bytes(b"nonsense" * 100)
    assert not QuickReads.fits(tmp_path / "other.db")


def test_models_and_versions_are_the_same(store):
    _, client, quick = store
    assert [model(each) for each in quick.search_registered_models()] == [
        model(client.get_registered_model(each.name)) for each in client.search_registered_models()
    ]
    wanted = "name='squares'"
    found, known = quick.search_model_versions(wanted), client.search_model_versions(wanted)
    assert sorted(map(version, found)) == sorted(map(version, known))
    for number in ("1", "2"):
        assert version(quick.get_model_version("squares", number)) == version(
            client.get_model_version("squares", number)
        )


def test_runs_are_the_same(store):
    _, client, quick = store
    experiment = quick.get_experiment_by_name("squares")
    known = client.get_experiment_by_name("squares")
    assert experiment.experiment_id == known.experiment_id
    assert quick.get_experiment_by_name("none") is None
    for kind in ("fit", "validate", "no such kind"):
        asked = (experiment.experiment_id, {"unseen.kind": kind, "unseen.data_name": "squares"}, 5)
        found = quick_reads.tagged_runs(quick, *asked)
        theirs = quick_reads.tagged_runs(client, *asked)
        assert list(map(run, found)) == list(map(run, theirs))
        assert len(found) == {"fit": 2, "validate": 1}.get(kind, 0)
        for each in found:
            assert run(quick.get_run(each.info.run_id)) == run(each)


def test_a_metric_without_a_number_has_none_here_too(store):
    _, client, quick = store
    run_id = client.create_run(client.get_experiment_by_name("squares").experiment_id).info.run_id
    client.log_metric(run_id, "loss", math.nan)
    assert math.isnan(quick.get_run(run_id).data.metrics["loss"])
    client.delete_run(run_id)
    assert quick.get_run(run_id).info.lifecycle_stage == "deleted"


def test_what_is_not_there_is_refused_as_mlflow_refuses_it(store):
    _, _, quick = store
    for ask in (
        lambda: quick.get_registered_model("none"),
        lambda: quick.get_model_version("squares", "9"),
        lambda: quick.get_run("0" * 32),
    ):
        with pytest.raises(MlflowException) as raised:
            ask()
        assert raised.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_what_it_does_not_know_is_asked_of_mlflow(store):
    _, client, quick = store
    quick.set_registered_model_tag("squares", "color", "blue")
    assert quick.get_registered_model("squares").tags["color"] == "blue"
    client.delete_registered_model_tag("squares", "color")


def test_a_trace_is_the_same_and_reads_the_files_of_the_version(store, monkeypatch):
    path, client, quick = store
    monkeypatch.chdir(path.parents[1])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{path}")  # what an earlier test set wins over a variable
    try:
        assert isinstance(quick_reads.reader(), QuickReads)
        found = trace("squares@2")
        facts = version_facts.gather(client, client.get_model_version("squares", "2"))
        quickly = version_facts.gather(quick, quick.get_model_version("squares", "2"))
    finally:
        mlflow.set_tracking_uri(before)
    assert (facts.lineage, facts.files, facts.metrics) == (
        quickly.lineage,
        quickly.files,
        quickly.metrics,
    )
    assert found.recipe == facts.lineage["recipe"]
    assert found.model.digest == facts.model_digest
