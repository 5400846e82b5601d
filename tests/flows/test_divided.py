"""A retrain whose work two Dask workers did comes to what this process computes."""

import io

import mlflow
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from flows import recipes
from flows.retrain import retrain
from models.contracts import silent
from models.errors import InvalidInputError
from models.functional.gaussian import Moments
from tasks.data import snapshots, versions
from tasks.evaluation.measure import measure
from tasks.packaging import package
from tasks.records import TrainedModel
from tasks.registry import mlflow_store, model_versions
from tasks.training import devices, encoder_store, inputs
from tasks.training.batches import identity
from tasks.training.moments import Source
from tasks.training.moments_sharded import candidates, moments_of_shard
from tests.flows.conftest import RECIPE

pytest.importorskip("prefect_dask", reason="Prefect's Dask runner is in the extra scale")
pytestmark = pytest.mark.timeout(900)  # of a machine that is busy with other things
POOLED = RECIPE.replace(":tiny", ":pooled")


@pytest.fixture(scope="module")
def one_thread():
    """As many as the workers have: the last bits depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def divided(workplace, one_thread):
    """The version that a retrain in two shards registered, and its run."""
    retrain(POOLED, workplace / "incoming", shards=2)
    version = mlflow_store.client().get_model_version("pooled", "1")
    return version, mlflow_store.client().get_run(version.run_id)


@pytest.fixture(scope="module")
def encoder(divided):
    run_id = divided[1].data.tags["unseen.pretext_run_id"]
    uri, data = f"runs:/{run_id}/{encoder_store.FOLDER}", versions.current("tiny")
    return TrainedModel(run_id=run_id, model_uri=uri, data_digest=data.digest)


def test_moments_are_those_that_are_computed_here(divided, encoder):
    recipe, snapshot = recipes.load(POOLED), snapshots.open_version(versions.current("tiny"))
    model = recipe.detector.build(encoder_store.load(encoder)[0])
    source = Source(model, recipe.training, devices.fabric("auto"), devices.Usage())
    clips, _ = inputs.normal_clips(snapshot, recipe.training)
    parts = source.each(snapshot, {identity(clip): clip for clip in clips})
    expected = Moments.combined(parts.values(), len(model.gaussian.mean_)).tensors()
    uri = f"runs:/{divided[1].info.run_id}/statistics/total.safetensors"
    found = load_file(mlflow.artifacts.download_artifacts(uri))
    assert found["count"] == expected["count"] > 0
    for name, value in expected.items():
        assert (found[name] - value).abs().max() <= 1e-10 * value.abs().max(), name


def test_scores_are_those_that_are_computed_here(divided):
    version, run = divided
    packaged = package.load(model_versions.folder(version.source), device="auto")
    expected = measure(versions.current("tiny"), packaged, silent)
    text = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/evaluation/scores.csv")
    found = pd.read_csv(io.StringIO(text))
    pd.testing.assert_frame_equal(
        found, expected.scores, check_exact=False, check_dtype=False, rtol=1e-10, atol=0
    )
    assert run.data.metrics["pixel_auroc"] == pytest.approx(expected.pixels.auroc(), rel=1e-10)


def test_what_a_worker_computes_can_be_computed_here(divided, encoder):
    recipe, version = recipes.load(POOLED), versions.current("tiny")
    snapshot = snapshots.open_version(version)
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
