import dataclasses

import pytest
import torch
from lightning_fabric import Fabric

from models.contracts import silent
from models.errors import TrainingError
from models.one_class._adversarial import Discriminator, Refiner
from models.one_class._adversarial_training import Snapshot
from models.one_class._contrast_training import contrast
from models.one_class._pseudo_anomalies import pseudo_anomalies
from tests.models.one_class.test__adversarial_training import SCHEDULE as RIVALS

SCHEDULE = dataclasses.replace(RIVALS, contrast_steps=30, batch_size=16, discriminator_rate=1e-2)


class Identity(Refiner):
    def __init__(self):
        super().__init__(1, 4, 8, 1)

    def forward(self, patches):
        return patches


def bars(num):
    """Upright bars, each with a phase of its own."""
    phase = 6 * torch.rand(num, 1, 1, 1, generator=torch.Generator().manual_seed(num))
    return ((torch.arange(8.0) * 1.5 + phase).sin() * 0.4 + 0.5).expand(num, 1, 8, 8).contiguous()


def rivals(refiner=None):
    torch.manual_seed(0)
    judge = Discriminator(1, 4, 8, 1).eval()
    return Snapshot(
        refiner=refiner or Refiner(1, 4, 8, 1).eval(), discriminator=judge, step=10, error=0.5
    )


def trained(before, images=None, **changes):
    images = bars(40) if images is None else images
    schedule = dataclasses.replace(SCHEDULE, **changes)
    return contrast(images, before, schedule, Fabric(accelerator="cpu", devices=1), silent)


def test_snapshots_follow_the_adversarial_steps_and_share_one_unchanged_refiner():
    before = rivals()
    state = {name: value.clone() for name, value in before.refiner.state_dict().items()}
    judged = before.discriminator(bars(5))
    found = trained(before)
    assert [kept.step for kept in found] == [20, 30, 40]
    assert all(kept.refiner is before.refiner for kept in found)
    assert all(torch.equal(state[name], it) for name, it in before.refiner.state_dict().items())
    assert torch.equal(before.discriminator(bars(5)), judged)
    assert not found[-1].discriminator.training


@torch.no_grad()
def test_pseudo_anomalies_come_to_look_less_normal_than_new_normal_patches():
    with torch.enable_grad():
        judge = trained(rivals(Identity()))[-1].discriminator
    normal = bars(50)
    spoilt = pseudo_anomalies(normal, torch.Generator().manual_seed(9), turning=True)
    assert judge(normal).median() > 0 > judge(spoilt).median()


def test_the_same_seed_gives_the_same_discriminator():
    states = [trained(rivals(), seed=seed)[-1].discriminator.state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_a_loss_that_is_no_number_stops_the_training():
    before = rivals()
    torch.nn.init.constant_(before.discriminator.layers[-1].bias, torch.nan)
    with pytest.raises(TrainingError, match="losses must be finite"):
        trained(before)
