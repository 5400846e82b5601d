import dataclasses

import pytest
import torch
from lightning_fabric import Fabric

from models.contracts import silent
from models.errors import TrainingError
from models.one_class._adversarial import Discriminator, Refiner
from models.one_class._adversarial_training import Schedule, train

SCHEDULE = Schedule(
    patch=8,
    noise=0.1,
    reconstruction_weight=0.4,
    stop_error=0.0,
    num_steps=10,
    num_snapshots=3,
    contrast_steps=0,
    turning=True,
    batch_size=8,
    refiner_rate=1e-3,
    discriminator_rate=1e-3,
    seed=0,
)


def trained(images=None, **changes):
    torch.manual_seed(0)
    networks = Refiner(1, 4, 8, 1), Discriminator(1, 4, 8, 1)
    draw = torch.Generator().manual_seed(1)
    images = torch.rand(20, 1, 8, 8, generator=draw) if images is None else images
    schedule = dataclasses.replace(SCHEDULE, **changes)
    fabric = Fabric(accelerator="cpu", devices=1)
    return train(images, images[:4], networks, schedule, fabric, silent)


def _moved(before, after):
    """Largest change of a weight in the layer that no norm rescales."""
    return (after["rise.0.weight"] - before["rise.0.weight"]).abs().max()


def test_snapshots_are_spread_evenly_and_the_last_is_of_the_last_step():
    assert [kept.step for kept in trained()] == [4, 7, 10]


def test_training_stops_once_held_out_patches_are_refined_well():
    stopped = trained(stop_error=100.0)
    assert [kept.step for kept in stopped] == [4, 4, 4]
    assert stopped[0].error < 100


def test_a_larger_weight_of_the_reconstruction_refines_better():
    long = {"num_steps": 30, "num_snapshots": 1, "refiner_rate": 1e-2}
    faithful = trained(reconstruction_weight=1000.0, **long)
    free = trained(reconstruction_weight=0.0, **long)
    assert faithful[0].error < free[0].error


def test_rates_fall_to_nothing_where_only_the_last_refiner_counts():
    falling, constant = (
        [kept.refiner.state_dict() for kept in trained(num_snapshots=10, contrast_steps=steps)]
        for steps in (1, 0)
    )
    (first, last), (_, still) = (
        [_moved(states[place - 1], states[place]) for place in (1, 9)]
        for states in (falling, constant)
    )
    assert last < first / 3
    assert last < still / 3


def test_the_same_seed_gives_the_same_snapshots_whatever_the_batches_were():
    one, other = trained()[-1].refiner.state_dict(), trained()[-1].refiner.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    another = trained(seed=1)[-1].refiner.state_dict()
    assert any(not torch.equal(one[name], another[name]) for name in one)


def test_losses_that_are_no_numbers_stop_the_training():
    with pytest.raises(TrainingError, match="losses must be finite"):
        trained(torch.full((8, 1, 8, 8), 1e30), reconstruction_weight=1e30)
