import math

import pytest
import torch

from models.contracts import silent
from models.errors import TrainingError
from models.pretext._descent import Descent


def descent(num_epochs=2):
    layer = torch.nn.Linear(1, 1, bias=False).eval()
    torch.nn.init.ones_(layer.weight)
    return layer, Descent(layer, torch.optim.SGD(layer.parameters(), lr=0.1), num_epochs, None)


def test_steps_go_down_at_a_rate_that_falls_along_a_half_cosine():
    layer, descending = descent()
    weight, seen = 1.0, []
    for batch in descending.over([torch.ones(1, 1)] * 2, silent, "steps"):
        seen.append((descending.epoch, descending.share))
        descending.step(descending.network(batch).sum())
        weight -= 0.1 * descending.share
        assert layer.weight.item() == pytest.approx(weight)
    rates = [(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]
    assert seen == [(0, 1.0), (0, pytest.approx(rates[1])), (1, 0.5), (1, pytest.approx(rates[3]))]
    assert descending.losses.means() == pytest.approx([0.95, 1 - 0.1 - 0.1 * rates[1] - 0.025])
    assert layer.training


def test_any_steps_can_be_gone_through():
    _, descending = descent()
    steps = descending.through([(0, torch.ones(1)), (1, torch.zeros(1))], 2, silent, "numbers")
    told = [(given.item(), descending.epoch) for given in steps]
    assert told == [(1, 0), (0, 1)]
    assert descending.whole.item() == 0


def test_one_process_has_whole_batches_and_the_seed_itself():
    _, descending = descent(1)
    batch = torch.rand(5, 1)
    (part,) = descending.over([batch], silent, "steps")
    assert torch.equal(part, batch)
    assert torch.equal(descending.whole, batch)
    assert descending.seed(7) == 7


def test_a_loss_that_is_not_finite_ends_it():
    _, descending = descent()
    with pytest.raises(TrainingError, match="loss must be finite, got nan in epoch 1"):
        descending.step(torch.tensor(torch.nan))
