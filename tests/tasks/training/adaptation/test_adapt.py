from dataclasses import replace

import pytest
import torch

from models.adaptation.adda import ADDA, AdversaryConfig
from models.errors import InvalidInputError
from tasks.registry import mlflow_store
from tasks.training import encoder_store
from tasks.training.adaptation.adapt import adapt, curves, encoder_of
from tasks.training.adaptation.source_detector import recall

ADAPTER = ADDA.Config(
    adversary=AdversaryConfig(steps=5, batch_size=4, width=8, gate=0.0), places=4, seed=3
)


@pytest.fixture(scope="module")
def source(two_cameras):
    return recall.fn("first@1")


def run_adapt(source, version, adapter=ADAPTER, **changes):
    return adapt.fn(source, version, adapter, replace(source.training, **changes), "second")


def test_an_encoder_is_adapted_and_logged_with_what_it_came_from(two_cameras, source):
    adapted = run_adapt(source, two_cameras.second)
    assert adapted.data_digest == two_cameras.second.digest
    encoder, known = encoder_store.load(adapted)
    before = encoder_of(source).state_dict()
    assert not torch.equal(before["features.0.weight"], encoder.state_dict()["features.0.weight"])
    assert (known["backbone"], known["data"]["name"]) == ("adapted", "second")
    run = mlflow_store.client().get_run(adapted.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["adapter.adversary.steps"] == "5"
    assert run.data.tags["unseen.source_run_id"] == source.run_id
    assert run.data.metrics["num_images"] == run.data.metrics["num_source_images"] == 10
    inputs = {each.tags[0].value: each.dataset.name for each in run.inputs.dataset_inputs}
    assert inputs == {"training": "second", "source": "first"}


def test_the_same_seed_adapts_the_same_encoder(two_cameras, source):
    one, two, other = (
        encoder_store.load(run_adapt(source, two_cameras.second, adapter))[0].state_dict()
        for adapter in (ADAPTER, ADAPTER, replace(ADAPTER, seed=4))
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_images_of_another_size_leave_a_failed_run(two_cameras, source):
    with pytest.raises(InvalidInputError, match="must have one size"):
        run_adapt(source, two_cameras.second, image_size=None)
    experiment = mlflow_store.experiment("second")
    (last, *_) = mlflow_store.client().search_runs([experiment], order_by=["start_time DESC"])
    assert last.info.status == "FAILED"


def test_a_long_curve_is_thinned_out_to_means():
    points = curves({"loss": [float(value) for value in range(250)]})
    assert len(points) == 84
    assert [(p.step, p.value) for p in points[:2]] == [(3, 1.0), (6, 4.0)]
    assert (points[-1].step, points[-1].value) == (250, 249.0)
