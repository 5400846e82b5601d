"""The whole story on tiny data: first run, unchanged run, refused data, another seed.

On changed data: ``test_reproduce``, which needs such a model.
"""

import shutil

import pytest

from flows.retrain import retrain
from models.errors import DataValidationError
from tasks.registry import mlflow_store
from tasks.training.retrain_turn import OccupiedError, turn
from tests.flows.conftest import RECIPE


@pytest.fixture(scope="module")
def first(workplace):
    return retrain(RECIPE, workplace / "incoming")


def runs(kind, name="tiny"):
    store = mlflow_store.client()
    experiment = store.get_experiment_by_name(name)
    return store.search_runs([experiment.experiment_id], f"tags.`unseen.kind` = '{kind}'")


def test_the_first_challenger_becomes_champion(first):
    assert (first.action, first.champion, first.former) == ("promote", 1, None)
    champion = mlflow_store.client().get_model_version_by_alias("tiny", "champion")
    assert int(champion.version) == 1
    assert float(champion.tags["unseen.metric.image_auroc"]) > 0.5


def test_every_line_of_the_flow_is_a_line_of_the_lineage(first):
    tags = mlflow_store.client().get_model_version("tiny", "1").tags
    run = mlflow_store.client().get_run(tags["unseen.run_id"])
    assert run.data.tags["unseen.flow_run_id"] == tags["unseen.flow_run_id"]
    assert tags["unseen.pretext_run_id"] == runs("pretrain")[0].info.run_id
    assert tags["unseen.validation_run_id"] == runs("validate")[0].info.run_id
    dataset = run.inputs.dataset_inputs[0].dataset
    assert dataset.digest == tags["unseen.data_digest"]
    assert dataset.source_type == "dvc"


def test_an_unchanged_run_computes_nothing_again(first):
    before = {kind: len(runs(kind)) for kind in ("validate", "pretrain", "fit")}
    again = retrain(RECIPE)
    assert {kind: len(runs(kind)) for kind in before} == before
    assert again.version == first.version
    assert len(mlflow_store.client().search_model_versions("name='tiny'")) == 1


def test_bad_data_stops_before_training_and_leaves_the_champion(first, workplace):
    bad = shutil.copytree(workplace / "incoming", workplace / "bad")
    (bad / "train" / "good" / "003.png").write_bytes(b"")
    before = len(runs("pretrain"))
    with pytest.raises(DataValidationError, match=r"003\.png"):
        retrain(RECIPE, bad)
    assert len(runs("pretrain")) == before
    champion = mlflow_store.client().get_model_version_by_alias("tiny", "champion")
    assert int(champion.version) == 1


def test_another_seed_is_another_challenger_with_a_decision(first, workplace):
    decision = retrain(RECIPE, workplace / "incoming", seed=1)
    assert decision.version == 2
    assert decision.action in {"promote", "refuse"}
    assert decision.why
    challenger = mlflow_store.client().get_model_version_by_alias("tiny", "challenger")
    assert int(challenger.version) == 2


@pytest.mark.parametrize(("name", "localises"), [("tiny_alocc", True), ("tiny_knn", False)])
def test_a_detector_that_learns_from_pixels_goes_all_the_way(workplace, name, localises):
    decision = retrain(RECIPE.replace(":tiny", f":{name}"), workplace / "incoming")
    assert (decision.action, decision.champion) == ("promote", 1)
    tags = mlflow_store.client().get_model_version(name, "1").tags
    assert ("unseen.metric.pixel_auroc" in tags) == localises
    assert 0 <= float(tags["unseen.metric.image_auroc"]) <= 1


def test_a_retrain_that_should_not_wait_is_refused_while_another_has_the_turn(workplace):
    with turn("tiny"), pytest.raises(OccupiedError, match="is at it"):
        retrain(RECIPE, if_busy="refuse")
