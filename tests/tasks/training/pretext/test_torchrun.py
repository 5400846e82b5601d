"""Two processes solve a pretext task as a step of a retrain; what they learn: ``test_together``."""

from dataclasses import replace

import pytest
import torch

from models.encoders.alexnet import AlexNetTrunk
from models.errors import InvalidInputError
from models.pretext.context_encoder import ContextEncoder
from tasks.data import versions
from tasks.records import Training
from tasks.registry import mlflow_store
from tasks.training import encoder_store
from tasks.training.pretext import torchrun
from tasks.training.pretrain import pretrain
from tests.tasks.pictures import write_stills

TRAINING = Training(batch_size=4, image_size=(32, 32), device="cpu", devices=2)
PRETEXT = ContextEncoder.Config(epochs=2, crop=32, crops_per_image=1, width=4)


def test_two_processes_train_the_encoder_that_is_logged(repository):
    write_stills(repository / "data" / "stills", train=10)
    version = versions.add("stills")
    trained = pretrain.fn(version, AlexNetTrunk.Config(), PRETEXT, TRAINING, "stills")
    encoder, _ = encoder_store.load(trained)
    torch.manual_seed(TRAINING.seed)
    fresh = AlexNetTrunk.Config().build().state_dict()
    assert any(not torch.equal(fresh[name], value) for name, value in encoder.state_dict().items())
    run = mlflow_store.client().get_run(trained.run_id)
    assert run.data.params["training.devices"] == "2"
    assert run.data.metrics["num_images"] == 8
    assert run.data.metrics["pretext.hole_mse"] > 0
    assert len(mlflow_store.client().get_metric_history(trained.run_id, "loss")) == 2
    scratch = repository / ".unseen" / "scratch"
    assert not list(scratch.glob("*"))


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InvalidInputError, match="at most the number of GPUs, 1, got 2"):
        torchrun._check_devices(replace(TRAINING, device="auto"))
    torchrun._check_devices(TRAINING)


def test_a_failure_without_a_reason_of_ours_shows_the_last_words(tmp_path):
    (tmp_path / torchrun.LOG).write_text("a\nSegmentation fault\n")
    assert "code 11" in torchrun._problem(tmp_path, 11)
    assert "Segmentation fault" in torchrun._problem(tmp_path, 11)
