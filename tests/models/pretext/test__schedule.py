import pytest
import torch

from models.pretext._schedule import cosine, epochs, num_steps


def test_every_batch_comes_once_an_epoch():
    batches = torch.arange(6).split(4)
    seen = [(epoch, batch.tolist()) for epoch, batch in epochs(batches, 2)]
    assert seen == [(epoch, part) for epoch in (0, 1) for part in ([0, 1, 2, 3], [4, 5])]
    assert num_steps(batches, 2) == 4
    assert num_steps(iter(batches), 2) == 0


def test_the_rate_falls_from_one_to_zero():
    assert [cosine(step, 4) for step in (0, 2, 4)] == pytest.approx([1, 0.5, 0])
    assert cosine(7, 4) == 0
    assert cosine(7, 0) == 1
