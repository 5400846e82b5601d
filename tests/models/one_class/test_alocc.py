import dataclasses

import pytest
import torch
from sklearn.metrics import roc_auc_score

from models.contracts import silent
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.functional.shuffled import Shuffled
from models.one_class.alocc import (
    ALOCC,
    Discriminator,
    Patches,
    Refiner,
    networks,
    relative_error,
    sides,
    train,
)
from models.training import cpu
from tests.models.one_class.real import zeros_and_others
from tests.models.tiny import Tiny

SMALL = ALOCC.Config(
    patch=8, stride=4, width=8, depth=1, num_steps=150, reconstruction_weight=0.4 / 64
)
SHORT = dataclasses.replace(SMALL, width=4, batch_size=8, stop_error=0.0, num_steps=10)


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


def test_width_depth_and_weight_are_the_papers():
    config = ALOCC.Config()
    assert (config.width, config.depth, config.reconstruction_weight) == (64, 4, 0.4)


@torch.no_grad()
def test_the_score_is_that_of_the_refined_or_of_the_raw_patch(fitted):
    _, _, zeros, _ = zeros_and_others()
    expected = fitted.centre_.float() - fitted.discriminator(fitted.refiner(zeros))
    torch.testing.assert_close(fitted(zeros).image_score, expected)
    raw = dataclasses.replace(fitted.config, refined=False).build(pixels())
    raw.load_state_dict(fitted.state_dict())
    expected = fitted.centre_.float() - fitted.discriminator(zeros)
    torch.testing.assert_close(raw(zeros).image_score, expected)


def test_each_pixel_of_a_larger_image_has_the_mean_of_its_patches(fitted):
    _, _, zeros, others = zeros_and_others()
    wide = torch.cat([zeros[:3], others[:3]], dim=3)
    found = fitted(wide)
    patches = torch.stack([wide[..., start : start + 8] for start in (0, 4, 8)])
    left, middle, right = (fitted(part).image_score for part in patches)
    assert found.anomaly_map.shape == (3, 8, 16)
    torch.testing.assert_close(found.anomaly_map[:, 2, 1], left)
    torch.testing.assert_close(found.anomaly_map[:, 2, 5], (left + middle) / 2)
    torch.testing.assert_close(found.anomaly_map[:, 7, 13], right)
    assert torch.equal(found.image_score, found.anomaly_map.amax(dim=(1, 2)))
    assert fitted(zeros).anomaly_map is None


def test_it_learns_from_patches_of_larger_images():
    normal, held_out, _, _ = zeros_and_others()
    larger = [part.repeat(1, 1, 2, 2) for part in (normal, held_out)]
    detector = SHORT.build(pixels()).fit(*([part] for part in larger))
    assert detector(larger[1]).anomaly_map.shape == (35, 16, 16)


def test_it_refuses_what_it_cannot_learn_from(fitted):
    normal, held_out, _, _ = zeros_and_others()
    with pytest.raises(InvalidInputError, match="must be Pixels, got Tiny"):
        SMALL.build(Tiny())
    with pytest.raises(InvalidInputError, match="at least as large as a patch"):
        fitted(torch.zeros(1, 1, 7, 8))
    with pytest.raises(TrainingError, match="2 images at least"):
        SMALL.build(pixels()).fit([normal[:1]], [held_out])


@pytest.mark.parametrize(
    "settings",
    [
        {"patch": 4},
        {"stride": 0},
        {"num_steps": 0},
        {"width": 0},
        {"noise": -1.0},
        {"refiner_rate": 0.0},
        {"held_out_share": 1.0},
        {"check_interval": 0},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidInputError, match="must be"):
        ALOCC.Config(**settings)


def trained(images=None, *, decay=False, **changes):
    """R, and what the training returns."""
    config = dataclasses.replace(SHORT, **changes)
    draw = torch.Generator().manual_seed(1)
    images = torch.rand(20, 1, 8, 8, generator=draw) if images is None else images
    refiner, discriminator = networks(config, 1)
    patches = Patches(Shuffled([images], seed=0), config, cpu())
    found = train(refiner, discriminator, patches, config, cpu(), silent, decay=decay)
    assert not refiner.training
    return refiner, *found


def test_training_stops_once_held_out_patches_are_refined_well():
    assert trained(check_interval=4)[1] == 10
    _, step, error = trained(check_interval=4, stop_error=100.0)
    assert step == 4
    assert 0 < error < 100


def test_a_larger_weight_of_the_reconstruction_refines_better():
    long = {"num_steps": 30, "refiner_rate": 1e-2}
    faithful, free = (trained(reconstruction_weight=weight, **long)[2] for weight in (1000.0, 0.0))
    assert faithful < free


def test_the_error_is_relative_to_the_variance_and_leaves_the_mode():
    class Mean(torch.nn.Module):
        def forward(self, patches):
            return patches.mean(dim=0, keepdim=True).expand_as(patches)

    mean = Mean()
    assert relative_error(mean, torch.rand(9, 1, 8, 8)) == pytest.approx(1, rel=1e-4)
    assert mean.training


def test_rates_fall_to_nothing_on_request():
    def last_step(decay):
        """How far the last of ten steps moves the layer that no norm rescales."""
        states = [
            trained(decay=decay, num_steps=10, batch_size=8)[0].state_dict(),
            _stopped_before_the_last(decay).state_dict(),
        ]
        name = "upsample.0.weight"
        return (states[0][name] - states[1][name]).abs().max()

    assert last_step(decay=True) < last_step(decay=False) / 3


def _stopped_before_the_last(decay):
    """R after nine of ten steps: held-out patches are looked at then, and found good enough."""
    return trained(decay=decay, num_steps=10, check_interval=9, stop_error=1e9)[0]


def test_the_same_seed_gives_the_same_networks():
    states = [trained(seed=seed)[0].state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_losses_that_are_not_finite_stop_the_training():
    with pytest.raises(TrainingError, match="loss must be finite"):
        trained(torch.full((8, 1, 8, 8), 1e30), reconstruction_weight=1e30)


@pytest.mark.parametrize(("patch", "depth"), [(8, 1), (28, 3), (30, 4), (45, 4)])
def test_a_refined_patch_has_the_size_and_range_of_the_patch(patch, depth):
    refiner = Refiner(2, 4, patch, depth).eval()
    refined = refiner(torch.rand(3, 2, patch, patch))
    assert refined.shape == (3, 2, patch, patch)
    assert refined.min() > 0
    assert refined.max() < 1


def test_a_patch_is_judged_by_one_number_that_depends_on_all_of_it():
    judge = Discriminator(1, 4, 28, 3).eval()
    patch = torch.rand(1, 1, 28, 28, requires_grad=True)
    logit = judge(patch)
    assert logit.shape == (1,)
    (gradient,) = torch.autograd.grad(logit.sum(), patch)
    assert (gradient != 0).all()


def test_each_layer_halves_the_side_rounding_up():
    assert sides(45, 4) == [45, 23, 12, 6, 3]
