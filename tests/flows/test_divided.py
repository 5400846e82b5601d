"""A retrain whose work two Dask workers did is the one that this process did."""

import io

import mlflow
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from flows import recipes
from flows.retrain import retrain
from models.errors import InvalidInputError
from tasks import datasets, encoders, inputs, tracking, versions
from tasks.batches import identity
from tasks.moments_shards import candidates, moments_of_shard
from tasks.records import TrainedModel
from tests.flows.conftest import RECIPE

POOLED, DIVIDED = (RECIPE.replace(":tiny", f":{name}") for name in ("pooled", "pooled_divided"))


@pytest.fixture(scope="module")
def both(workplace):
    """Runs of the detector that was fitted here, and of the one fitted and judged in shards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers: the last bits depend on it
    try:
        retrain(POOLED, workplace / "incoming")
        retrain(DIVIDED, shards=2)
    finally:
        torch.set_num_threads(before)
    client = tracking.client()
    names = ("pooled", "pooled_divided")
    return [client.get_run(client.get_model_version(name, "1").run_id) for name in names]


def test_moments_are_the_same(both):
    one, other = (
        load_file(
            mlflow.artifacts.download_artifacts(
                f"runs:/{run.info.run_id}/statistics/total.safetensors"
            )
        )
        for run in both
    )
    assert one["count"] == other["count"] > 0
    for name, value in one.items():
        error = (value - other[name]).abs().max() / value.abs().max()
        assert error <= 1e-10, name


def test_evaluation_is_the_same(both):
    one, other = (
        pd.read_csv(
            io.StringIO(
                mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/evaluation/scores.csv")
            )
        )
        for run in both
    )
    pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=1e-10, atol=0)
    for name in ("image_auroc", "pixel_auroc", "threshold"):
        assert both[0].data.metrics[name] == pytest.approx(both[1].data.metrics[name], rel=1e-10)


def test_what_a_worker_computes_can_be_computed_here(both):
    run = both[0]
    pretext = run.data.tags["unseen.pretext_run_id"]
    uri, version = f"runs:/{pretext}/{encoders.FOLDER}", versions.current("tiny")
    encoder = TrainedModel(run_id=pretext, model_uri=uri, data_digest=version.digest)
    recipe = recipes.load(POOLED)
    snapshot = datasets.open_version(version)
    clips, _ = inputs.normal_clips(snapshot, recipe.training)
    known = {identity(clip) for clip in candidates(snapshot, encoder, recipe.training)}
    assert {identity(clip) for clip in clips} <= known
    part = (identity(clips[0]),)
    found = moments_of_shard.fn(part, version, encoder, recipe.detector, recipe.training)
    assert found.keys() == set(part)
    assert found[part[0]]["count"] > 0


def test_a_detector_that_learns_more_than_moments_is_refused_before_anything_is_trained(workplace):
    with pytest.raises(InvalidInputError, match="DeepAnomaly of the recipe 'tiny' learns more"):
        retrain(RECIPE, shards=2)
