import dataclasses

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Generator

from models.contracts import silent
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.functional.shuffled import Shuffled
from models.one_class.alocc import Discriminator, Patches, Refiner
from models.one_class.ognet import OGNet, contrast, overlaid, pseudo_anomalies, turned, warped
from models.training import cpu
from tests.models.one_class.real import zeros_and_others
from tests.models.tiny import Tiny

SMALL = OGNet.Config(
    patch=8, stride=4, width=8, depth=1, num_steps=60, check_interval=20, contrast_steps=60
)
SHORT = dataclasses.replace(
    SMALL, width=4, batch_size=16, contrast_steps=30, discriminator_rate=1e-2
)


def pixels():
    return Pixels.Config().build()


@pytest.fixture(scope="module")
def fitted():
    normal, held_out, _, _ = zeros_and_others()
    return SMALL.build(pixels()).fit([normal], [held_out])


def test_other_digits_score_above_zeros(fitted):
    _, held_out, zeros, others = zeros_and_others()
    scores = fitted(torch.cat([zeros, others])).image_score
    assert roc_auc_score([0] * len(zeros) + [1] * len(others), scores) > 0.8
    assert (fitted(held_out).image_score >= fitted.threshold).double().mean() <= 0.05


@torch.no_grad()
def test_the_score_is_the_mean_of_the_snapshots_log_odds(fitted):
    _, _, zeros, _ = zeros_and_others()
    refined = fitted.refiner(zeros)
    logits = torch.stack([judge(refined) for judge in fitted.discriminators]).mean(dim=0)
    torch.testing.assert_close(
        fitted(zeros).image_score, fitted.centres_[1].mean().float() - logits
    )
    raw = dataclasses.replace(fitted.config, refined=False).build(pixels())
    raw.load_state_dict(fitted.state_dict())
    logits = torch.stack([judge(zeros) for judge in raw.discriminators]).mean(dim=0)
    torch.testing.assert_close(raw(zeros).image_score, raw.centres_[0].mean().float() - logits)


def test_snapshots_are_spread_over_the_second_phase_and_differ(fitted):
    assert fitted.statistics()["steps"].tolist() == [80, 100, 120]
    first, last = (fitted.discriminators[place].state_dict() for place in (0, -1))
    assert not torch.equal(first["layers.2.weight"], last["layers.2.weight"])


def test_a_larger_image_gets_a_map(fitted):
    _, _, zeros, _ = zeros_and_others()
    found = fitted(zeros[:3].repeat(1, 1, 2, 2))
    assert found.anomaly_map.shape == (3, 16, 16)
    assert torch.equal(found.image_score, found.anomaly_map.amax(dim=(1, 2)))


def test_it_refuses_what_it_cannot_learn_from():
    normal, held_out, _, _ = zeros_and_others()
    with pytest.raises(InvalidInputError, match="must be Pixels, got Tiny"):
        SMALL.build(Tiny())
    with pytest.raises(TrainingError, match="2 images at least"):
        SMALL.build(pixels()).fit([normal[:1]], [held_out])
    for settings in ({"num_snapshots": 0}, {"contrast_steps": 2}, {"patch": 4}):
        with pytest.raises(InvalidInputError, match="must be"):
            OGNet.Config(**settings)


class Identity(Refiner):
    def __init__(self):
        super().__init__(1, 4, 8, 1)

    def forward(self, patches):
        return patches


def bars(num):
    """Upright bars, each with a phase of its own."""
    phase = 6 * torch.rand(num, 1, 1, 1, generator=torch.Generator().manual_seed(num))
    return ((torch.arange(8.0) * 1.5 + phase).sin() * 0.4 + 0.5).expand(num, 1, 8, 8).contiguous()


def trained(refiner=None, discriminator=None, **changes):
    config = dataclasses.replace(SHORT, **changes)
    torch.manual_seed(0)
    discriminator = discriminator or Discriminator(1, 4, 8, 1)
    refiner = refiner or Refiner(1, 4, 8, 1)
    patches = Patches(Shuffled([bars(40)], seed=0), config, cpu())
    return contrast(refiner.eval(), discriminator, patches, config, cpu(), silent)


def test_the_refiner_stays_as_it_is_and_snapshots_are_spread_evenly():
    refiner = Refiner(1, 4, 8, 1)
    state = {name: value.clone() for name, value in refiner.state_dict().items()}
    found = trained(refiner)
    assert [step for step, _ in found] == [10, 20, 30]
    assert all(torch.equal(state[name], value) for name, value in refiner.state_dict().items())
    assert not found[-1][1].training


@torch.no_grad()
def test_pseudo_anomalies_come_to_look_less_normal_than_new_normal_patches():
    with torch.enable_grad():
        judge = trained(Identity())[-1][1]
    normal = bars(50)
    spoilt = pseudo_anomalies(normal, torch.Generator().manual_seed(9), turning=True)
    assert judge(normal).median() > 0 > judge(spoilt).median()


def test_the_same_seed_gives_the_same_discriminator():
    states = [trained(seed=seed)[-1][1].state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_a_loss_that_is_not_finite_stops_the_training():
    judge = Discriminator(1, 4, 8, 1)
    torch.nn.init.constant_(judge.layers[-1].bias, torch.nan)
    with pytest.raises(TrainingError, match="loss must be finite"):
        trained(discriminator=judge)


def draw():
    return Generator().manual_seed(0)


def smooth(num):
    along = torch.linspace(0, 1, 16)
    return (along[:, None] * along).expand(num, 2, 16, 16).contiguous()


def test_a_turned_patch_keeps_its_values_in_one_of_five_other_orders():
    patch = torch.arange(16.0).view(1, 1, 4, 4)
    found = {tuple(it.flatten().tolist()) for it in turned(patch.expand(100, 1, 4, 4), draw())}
    assert len(found) == 5
    assert tuple(patch.flatten().tolist()) not in found
    assert all(sorted(values) == patch.flatten().tolist() for values in found)


def test_a_warped_patch_differs_but_has_no_values_of_its_own():
    patches = smooth(50)
    found = warped(patches, draw())
    assert found.shape == patches.shape
    assert found.min() >= 0
    assert found.max() <= patches.max() + 1e-6
    assert ((found - patches).abs().amax(dim=(1, 2, 3)) > 0.05).all()
    torch.testing.assert_close(found[:, 0], found[:, 1])  # channels are bent alike


def test_a_constant_patch_stays_so_where_it_reaches_itself():
    inner = warped(torch.ones(200, 1, 16, 16), draw())[..., 7:9, 7:9]
    assert inner.median() == pytest.approx(1, abs=1e-5)


def test_of_two_patches_what_stands_out_from_the_ground_is_kept():
    ground = torch.full((1, 1, 3, 3), 0.5)
    one, other = ground.clone(), ground.clone()
    one[..., 0, 0], one[..., 1, 1] = 0.9, 0.4
    other[..., 2, 2], other[..., 1, 1] = 0.1, 0.8
    expected = ground.clone()
    expected[..., 0, 0], expected[..., 2, 2], expected[..., 1, 1] = 0.9, 0.1, 0.8
    assert torch.equal(overlaid(one, other), expected)


@pytest.mark.parametrize(("turning", "num_turned"), [(False, 0), (True, 4)])
def test_each_kind_makes_an_equal_part_and_turning_can_be_left_out(turning, num_turned):
    patches = smooth(12)
    found = pseudo_anomalies(patches, draw(), turning=turning)
    assert found.shape == patches.shape
    values = patches[0].flatten().sort().values
    same = [torch.equal(it.flatten().sort().values, values) for it in found]
    assert same == [True] * num_turned + [False] * (12 - num_turned)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_few_patches_are_enough(number):
    assert pseudo_anomalies(smooth(number), draw(), turning=True).shape == (number, 2, 16, 16)


def test_the_same_draws_give_the_same_patches():
    assert torch.equal(*(pseudo_anomalies(smooth(6), draw(), turning=True) for _ in range(2)))
