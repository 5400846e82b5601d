"""What would be computed, as it is told before and as it happens then."""

import json

import pytest

from flows.cli.run_flow import explained
from flows.cli.tables import plan_table
from flows.explain import explain
from flows.retrain import retrain
from models.errors import InvalidInputError
from tasks.registry import mlflow_store
from tests.flows.conftest import POOLED
from tests.flows.test_old_store import shown

STEPS = ["validate", "pretrain", "fit", "evaluate", "sample"]


def computed(**options):
    return {each.step: each for each in explain(POOLED, **options) if each.record is None}


def num_runs():
    client = mlflow_store.client()
    experiment = client.get_experiment_by_name("pooled").experiment_id
    return len(client.search_runs([experiment]))


def test_what_is_unchanged_is_reused_and_told_so(trained):
    plans = explain(POOLED)
    assert [each.step for each in plans] == STEPS
    assert all(each.record is not None for each in plans)
    assert shown(plan_table(plans)).count("unchanged since run") == len(STEPS)


def test_what_changed_is_told_and_what_follows_from_it(trained):
    found = computed(settings=("detector.shrinkage=0.5", "promotion.margin=0.3"))
    assert list(found) == ["fit", "evaluate", "sample"]
    (change,) = found["fit"].changes
    assert (change.part, change.name, change.now) == (
        "configuration",
        "detector.shrinkage",
        "0.5",
    )
    assert "follows from fit" in found["evaluate"].why
    assert "configuration: detector.shrinkage" in shown(plan_table(found.values()))
    found = computed(seed=4)
    assert list(found) == STEPS[1:]
    assert {change.name for change in found["pretrain"].changes} == {"training.seed"}


def test_what_is_told_is_what_happens(trained):
    before = num_runs()
    assert retrain(POOLED).version == 1
    assert num_runs() == before
    assert retrain(POOLED, refresh=True).version == 2
    assert num_runs() == before + 4  # pretrain, fit and evaluate below one parent
    assert not computed()


def test_a_deleted_run_and_changed_data_are_reasons(trained):
    client = mlflow_store.client()
    fitted = {each.step: each for each in explain(POOLED)}["fit"].record
    client.delete_run(fitted.run_id)
    try:
        assert list(computed()) == ["fit", "evaluate", "sample"]
    finally:
        client.restore_run(fitted.run_id)
    path = trained / "data" / "tiny" / "train" / "good" / "003.png"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes((trained / "data" / "tiny" / "train" / "good" / "004.png").read_bytes())
    try:
        found = computed()
        assert list(found) == STEPS
        changed = {(change.part, change.name) for change in found["validate"].changes}
        assert changed == {("data", "version"), ("configuration", "champion_range")}
    finally:
        path.unlink()
        path.write_bytes(content)


def test_a_folder_cannot_be_explained(trained):
    with pytest.raises(InvalidInputError, match="bring it in first"):
        explain(POOLED, trained / "incoming")


def test_the_command_shows_it(trained, orchestrated, monkeypatch, capsys):
    monkeypatch.setenv("PREFECT_API_URL", orchestrated[1])
    options = {"refresh": False, "keep_encoder": True}
    explained("retrain", POOLED, None, None, None, None, **options)
    assert "reused" in capsys.readouterr().out
    explained("retrain", POOLED, None, None, None, None, as_json=True, **options)
    assert [each["step"] for each in json.loads(capsys.readouterr().out)] == STEPS
