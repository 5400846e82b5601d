from dataclasses import replace

import mlflow
import numpy as np
import pytest
import torch
from PIL import Image

from models.encoders.alexnet import AlexNetTrunk
from models.encoders.pixels import Pixels
from models.errors import NotFoundError, TrainingError
from models.pretext.context_encoder import ContextEncoder
from models.pretext.video_triplet import VideoTriplet
from tasks.data import versions
from tasks.records import Training
from tasks.registry import mlflow_store
from tasks.training import encoder_store
from tasks.training.pretrain import pretrain
from tests.tasks import moving
from tests.tasks.pictures import save

TRAINING = Training(batch_size=4, image_size=(48, 48), device="cpu", seed=3)
ENCODER = AlexNetTrunk.Config()
PRETEXT = ContextEncoder.Config(epochs=2, crop=48, crops_per_image=1, width=8)


@pytest.fixture
def version(repository):
    """Ten stripes of random phase."""
    random = np.random.default_rng(0)
    for number in range(10):
        rows = 128 + 60 * np.sin(np.arange(48)[:, None] / 4 + random.uniform(0, 6))
        pixels = np.broadcast_to(rows, (48, 48)).astype(np.uint8)
        save(repository / "data" / "stripes" / "train" / "good" / f"{number:03}.png", pixels)
    return versions.add("stripes")


def test_an_encoder_is_trained_and_logged_with_what_it_came_from(version):
    trained = pretrain.fn(version, ENCODER, PRETEXT, TRAINING, "stripes")
    assert trained.data_digest == version.digest
    encoder, pretext = encoder_store.load(trained)
    assert pretext["data"]["digest"] == version.digest
    fresh = type(encoder)(encoder.config)
    assert encoder.state_dict().keys() == fresh.state_dict().keys()
    assert all(value.isfinite().all() for value in encoder.state_dict().values())

    client = mlflow_store.client()
    run = client.get_run(trained.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["pretext.epochs"] == "2"
    assert [each.dataset.digest for each in run.inputs.dataset_inputs] == [version.digest]
    losses = client.get_metric_history(trained.run_id, "loss")
    assert [each.step for each in losses] == [1, 2]
    assert run.data.metrics["num_images"] == 8
    assert run.data.metrics["images_per_second"] == pytest.approx(
        16 / run.data.metrics["seconds"], rel=0.01
    )
    assert run.data.metrics["pretext.hole_mse"] > 0
    assert run.data.tags["unseen.device"] == "cpu"
    assert "peak_memory_gb" in run.data.metrics


def test_the_run_shows_what_the_task_is_given_and_answers(version):
    trained = pretrain.fn(version, ENCODER, PRETEXT, TRAINING, "stripes")
    uri = f"runs:/{trained.run_id}/pretext/examples.png"
    with Image.open(mlflow.artifacts.download_artifacts(uri)) as picture:
        assert picture.height > 3 * 96
        assert picture.width > 2 * 96


def test_the_same_seed_trains_the_same_encoder(version):
    first, second, other = (
        encoder_store.load(pretrain.fn(version, ENCODER, PRETEXT, training, "stripes"))[
            0
        ].state_dict()
        for training in (TRAINING, TRAINING, replace(TRAINING, seed=4))
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_images_that_do_not_vary_leave_a_failed_run(repository):
    for number in range(6):
        flat = np.full((48, 48), number, dtype=np.uint8)
        save(repository / "data" / "flat" / "train" / "good" / f"{number:03}.png", flat)
    version = versions.add("flat")
    with pytest.raises(TrainingError):
        pretrain.fn(version, ENCODER, PRETEXT, TRAINING, "flat")
    (run,) = mlflow_store.client().search_runs([mlflow_store.experiment("flat")])
    assert run.info.status == "FAILED"


def test_imagenet_weights_are_taken_from_the_cache(version, tmp_path, monkeypatch):
    weights = tmp_path / "torch" / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    weights.parent.mkdir(parents=True)
    original = AlexNetTrunk.Config().build()
    torch.save(original.state_dict(), weights)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    trained = pretrain.fn(
        version, ENCODER, PRETEXT, replace(TRAINING, backbone="imagenet"), "stripes"
    )
    encoder, pretext = encoder_store.load(trained)
    assert pretext["backbone"] == "imagenet"
    assert torch.equal(encoder.features[0].weight, original.features[0].weight)
    assert mlflow_store.client().get_run(trained.run_id).data.tags["unseen.backbone"] == "imagenet"


def test_imagenet_weights_that_cannot_be_had_leave_a_failed_run(version, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr("models.encoders.alexnet.WEIGHTS", "http://127.0.0.1:9/alexnet-00.pth")
    with pytest.raises(NotFoundError, match="choose --backbone pretext"):
        pretrain.fn(version, ENCODER, PRETEXT, replace(TRAINING, backbone="imagenet"), "stripes")
    (run,) = mlflow_store.client().search_runs([mlflow_store.experiment("stripes")])
    assert run.info.status == "FAILED"


def test_video_triplets_are_trained_on_tracks_that_can_be_looked_at(repository):
    moving.write(repository / "data" / "squares", clips=4)
    version = versions.add("squares")
    pretext = VideoTriplet.Config(epochs=2, patch=40)
    training = replace(TRAINING, window=6, image_size=None)
    trained = pretrain.fn(version, ENCODER, pretext, training, "squares")
    run = mlflow_store.client().get_run(trained.run_id)
    assert run.data.metrics["num_images"] == 6 * 4
    assert 0 <= run.data.metrics["pretext.triplet_accuracy"] <= 1
    for name in ("examples.png", *(f"tracks/good/{clip:02}.png" for clip in range(4))):
        uri = f"runs:/{trained.run_id}/pretext/{name}"
        with Image.open(mlflow.artifacts.download_artifacts(uri)) as picture:
            assert picture.width >= 2 * 96


def test_without_a_task_the_encoder_stays_as_it_was_made(version):
    trained = pretrain.fn(version, Pixels.Config(), None, TRAINING, "stripes")
    encoder, pretext = encoder_store.load(trained)
    assert isinstance(encoder, Pixels)
    assert pretext["backbone"] == "untrained"
    run = mlflow_store.client().get_run(trained.run_id)
    assert run.data.params["encoder.channels"] == "1"
    assert "loss" not in run.data.metrics
