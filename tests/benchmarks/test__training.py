import time

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks._sets import ImageSet
from benchmarks._training import StepClock, solve, tasks
from models.pretext.context_encoder import ContextEncoder
from tests.models.pretext.conftest import waves


def test_every_task_on_disk_is_found():
    assert tasks()["context_encoder"] is ContextEncoder
    assert "autoregressive" in tasks()
    assert not [name for name in tasks() if name.startswith("_")]


def test_a_task_is_solved_and_timed():
    images = (255 * waves(20, 1)).to(torch.uint8)
    labels = np.zeros(20, int)
    whole = ImageSet(train=images, test=images, train_labels=labels, test_labels=labels)
    solved, again = (solve(ContextEncoder, whole, seed=0, steps=1) for _ in range(2))
    assert solved.figures.keys() == {"hole_mse", "mean_image_mse"}
    assert solved.figures == pytest.approx(again.figures)
    assert solved.images_per_second > 0
    assert 0 < solved.preparation_share < 1


def test_only_what_lies_between_steps_is_preparation(monkeypatch):
    moments = iter([10.0, 13.0, 20.0, 21.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(moments))
    clock = StepClock()
    for _ in range(2):
        clock.begin(nn.Linear(1, 1), ())
        clock.begin(nn.Linear(1, 1), ())
        clock.on_after_optimizer_step()
    assert clock.seconds == 4.0
