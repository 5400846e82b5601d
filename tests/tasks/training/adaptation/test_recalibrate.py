from dataclasses import replace

import pytest
import torch

from models.encoders.small import SmallTrunk
from models.errors import NotFoundError, RegistryError
from tasks.evaluation.evaluate import evaluate
from tasks.packaging import package
from tasks.records import TrainedModel
from tasks.registry import mlflow_store, model_versions
from tasks.training.adaptation.adapt import adapt
from tasks.training.adaptation.recalibrate import recalibrate
from tasks.training.adaptation.source_detector import recall
from tasks.training.pretrain import pretrain
from tests.tasks.training.adaptation.test_adapt import ADAPTER


@pytest.fixture(scope="module")
def source(two_cameras):
    return recall.fn("first@1")


@pytest.fixture(scope="module")
def encoder(two_cameras, source):
    return adapt.fn(source, two_cameras.second, ADAPTER, source.training, "second")


def carry_over(two_cameras, source, encoder):
    return recalibrate.fn(
        source,
        two_cameras.second,
        two_cameras.validation,
        encoder,
        source.training,
        {"name": "second"},
        "second",
    )


@pytest.fixture(scope="module")
def carried(two_cameras, source, encoder):
    return carry_over(two_cameras, source, encoder)


def test_statistics_stay_and_thresholds_are_those_of_the_second_camera(source, carried):
    before, preprocessing = package.rebuild(model_versions.folder(source.model_uri))
    after, same = package.rebuild(model_versions.folder(carried.model_uri))
    assert all(torch.equal(v, after.statistics()[k]) for k, v in before.statistics().items())
    assert before.alpha_ != after.alpha_
    assert before.beta_ != after.beta_
    assert same == replace(preprocessing, image_size=(24, 32))


def test_its_lineage_names_the_adaptation_and_the_source(two_cameras, source, encoder, carried):
    lineage = package.load(model_versions.folder(carried.model_uri)).lineage
    assert lineage["pretext"]["run_id"] == encoder.run_id
    assert lineage["source"]["name"] == "first"
    assert lineage["source"]["digest"] == source.digest
    assert lineage["source"]["data"]["digest"] == two_cameras.first.digest
    assert lineage["data"]["digest"] == two_cameras.second.digest
    assert lineage["validation"]["run_id"] == two_cameras.validation.run_id


def test_it_can_be_evaluated_like_any_other(two_cameras, carried):
    report = evaluate.fn(two_cameras.second, carried)
    assert 0 <= report.metrics["image_auroc"] <= 1
    run = mlflow_store.client().get_run(carried.run_id)
    assert run.data.metrics["num_images"] == 2


def test_an_encoder_of_another_shape_is_refused(two_cameras, source):
    other = pretrain.fn(
        two_cameras.second, SmallTrunk.Config(width=3), None, source.training, "second"
    )
    with pytest.raises(RegistryError, match="must fit the detector of first version 1"):
        carry_over(two_cameras, source, other)


def test_a_lost_encoder_is_a_clear_error(two_cameras, source):
    lost = TrainedModel(run_id="0" * 32, model_uri=f"runs:/{'0' * 32}/encoder", data_digest="")
    with pytest.raises(NotFoundError, match="must be in the MLflow store"):
        carry_over(two_cameras, source, lost)
