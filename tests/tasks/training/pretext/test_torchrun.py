"""Two processes solve a pretext task as a step of a retrain; what they learn: ``test_together``."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.encoders.alexnet import AlexNetTrunk
from models.errors import InvalidInputError, TrainingError
from models.pretext.context_encoder import ContextEncoder
from tasks.data import versions
from tasks.records import Training
from tasks.registry import mlflow_store
from tasks.training import encoder_store
from tasks.training.pretext import solve, torchrun
from tasks.training.pretrain import pretrain
from tests.tasks.pictures import SIZE, save, write_stills

TRAINING = Training(batch_size=4, image_size=(32, 32), device="cpu", devices=2)
PRETEXT = ContextEncoder.Config(epochs=2, crop=32, crops_per_image=1, width=4)
ALONE, ONE_EPOCH = replace(TRAINING, devices=1), replace(PRETEXT, epochs=1)


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


def prepared(repository, tmp_path, name):
    torchrun.prepare(tmp_path, versions.add(name), AlexNetTrunk.Config().build(), ONE_EPOCH, ALONE)


def test_it_does_what_it_is_told_and_leaves_the_solution(repository, tmp_path):
    write_stills(repository / "data" / "stills")
    prepared(repository, tmp_path, "stills")
    torchrun.main(tmp_path)
    found = solve.read(tmp_path)
    assert len(found.losses) == 1
    assert found.usage["num_images"] == 4
    assert not (tmp_path / torchrun.PROBLEM).exists()


def test_it_leaves_the_reason_why_there_is_no_solution(repository, tmp_path):
    for number in range(5):
        flat = np.full(SIZE, 9 + 40 * number, dtype=np.uint8)
        save(repository / "data" / "flat" / "train" / "good" / f"{number:03}.png", flat)
    prepared(repository, tmp_path, "flat")
    with pytest.raises(TrainingError):
        torchrun.main(tmp_path)
    assert "all constant" in torchrun._problem(tmp_path, 1)
