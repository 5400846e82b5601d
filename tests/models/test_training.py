import math

import pytest
import torch
from torch import nn

from models.contracts import silent
from models.errors import TrainingError
from models.training import Trainer, cosine, initialise, lay_out, num_steps, one_cycle


def trainer(num_steps=4):
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    return layer, Trainer(layer, optimizer, schedule=cosine(optimizer, num_steps))


def test_steps_go_down_at_a_rate_that_falls_along_a_half_cosine():
    layer, training = trainer()
    weight, epochs = 1.0, []
    rates = [(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]
    steps = training.epochs([torch.ones(1, 1)] * 2, 2, silent, "steps")
    for rate, batch in zip(rates, steps, strict=True):
        epochs.append(training.epoch)
        value = training.step(training.network(batch).sum())
        assert value == pytest.approx(weight)
        weight -= 0.1 * rate
        assert layer.weight.item() == pytest.approx(weight)
    assert epochs == [0, 0, 1, 1]
    assert training.history() == pytest.approx([0.95, 1 - 0.1 - 0.1 * rates[1] - 0.025])


def test_without_a_number_of_steps_the_rate_stays():
    layer, training = trainer(num_steps=0)
    for _ in training.epochs(iter([torch.ones(1, 1)] * 3), 1, silent, "steps"):
        training.step(training.network(torch.ones(1, 1)).sum())
    assert layer.weight.item() == pytest.approx(0.7)
    assert num_steps(iter([1]), 3) == 0
    assert num_steps([torch.ones(1)] * 2, 3) == 6


def test_one_cycle_rises_to_its_peak_and_falls_to_nothing():
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = one_cycle(optimizer, 3e-3, 100, 0.1)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(3e-3 / 25)
    assert max(rates) == pytest.approx(3e-3, rel=1e-3)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[-1] < 1e-5


def test_anything_can_be_stepped_through():
    _, training = trainer()
    steps = training.steps([(0, "a"), (1, "b")], 2, silent, "letters")
    assert [(given, training.epoch) for given in steps] == [("a", 0), ("b", 1)]


def test_one_process_has_whole_batches_and_the_seed_itself():
    _, training = trainer()
    batch = torch.rand(5, 1)
    (part,) = training.epochs([batch], 1, silent, "steps")
    assert torch.equal(part, batch)
    assert torch.equal(training.whole, batch)
    assert training.seed(7) == 7


def test_a_loss_that_is_not_finite_ends_it():
    layer, training = trainer()
    before = layer.weight.clone()
    with pytest.raises(TrainingError, match="loss must be finite, got nan in epoch 1"):
        training.step(layer(torch.full((1, 1), torch.nan)).sum())
    assert torch.equal(layer.weight, before)
    assert training.history() == []


def test_two_trainers_make_an_adversarial_training():
    (one, first), (other, second) = trainer(), trainer()
    for batch in first.epochs([torch.ones(1, 1)], 4, silent, "game"):
        second.step((other(batch) - one(batch).detach()).square().sum())
        first.step(-(one(batch) - other(batch).detach()).sum())
    assert one.weight.item() > 1
    assert 1 < other.weight.item() < one.weight.item()


def test_convolutions_are_laid_out_and_other_weights_left_as_they_are():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3, 1))
    before = model[0].weight.detach().clone()
    lay_out(model, torch.channels_last)
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    lay_out(model, torch.contiguous_format)
    assert model[0].weight.is_contiguous()
    assert torch.equal(model[0].weight, before)


def test_initialising_forgets_and_leaves_global_randomness_alone():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    initialise(model, 7)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model[0].weight.zero_()
    model(torch.rand(5, 3))
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    initialise(model, 7)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[name], value) for name, value in model.state_dict().items())
