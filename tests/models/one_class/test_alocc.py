import dataclasses

import pytest
import torch
from sklearn.metrics import roc_auc_score

from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.one_class.alocc import ALOCC
from tests.models.one_class.real import zeros_and_others
from tests.models.tiny import Tiny

SMALL = ALOCC.Config(patch=8, stride=4, width=8, depth=1, num_steps=60, contrast_steps=60)
PUBLISHED = dataclasses.replace(
    SMALL, num_steps=150, num_snapshots=5, contrast_steps=0, reconstruction_weight=0.4 / 64
)


def pixels():
    return Pixels.Config().build()


@pytest.fixture(scope="module", params=[SMALL, PUBLISHED], ids=["contrast", "published"])
def fitted(request):
    normal, held_out, _, _ = zeros_and_others()
    return request.param.build(pixels()).fit([normal], [held_out])


def refined_with(fitted):
    """The R of each D."""
    refiners = fitted.refiners
    return list(refiners) * (len(fitted.discriminators) // len(refiners))


def test_other_digits_score_above_zeros(fitted):
    _, held_out, zeros, others = zeros_and_others()
    scores = fitted(torch.cat([zeros, others])).image_score
    assert roc_auc_score([0] * len(zeros) + [1] * len(others), scores) > 0.8
    assert (fitted(held_out).image_score >= fitted.threshold).double().mean() <= 0.05


def test_the_score_is_the_mean_of_the_snapshots_log_odds(fitted):
    _, _, zeros, _ = zeros_and_others()
    logits = [
        judge(refine(zeros))
        for refine, judge in zip(refined_with(fitted), fitted.discriminators, strict=True)
    ]
    expected = fitted.centres_[1].mean().float() - torch.stack(logits).mean(dim=0)
    torch.testing.assert_close(fitted(zeros).image_score, expected)


def test_the_unrefined_score_is_that_of_the_images_themselves(fitted):
    _, _, zeros, _ = zeros_and_others()
    raw = dataclasses.replace(fitted.config, refined=False).build(pixels())
    raw.load_state_dict(fitted.state_dict())
    logits = torch.stack([judge(zeros) for judge in raw.discriminators]).mean(dim=0)
    torch.testing.assert_close(raw(zeros).image_score, raw.centres_[0].mean().float() - logits)


def test_snapshots_are_spread_over_the_training_and_differ(fitted):
    found = fitted.statistics()["steps"].tolist()
    published = not fitted.config.contrast_steps
    assert found == ([30, 60, 90, 120, 150] if published else [80, 100, 120])
    assert len(fitted.refiners) == (5 if published else 1)
    first, last = (fitted.discriminators[place].state_dict() for place in (0, -1))
    assert not torch.equal(first["layers.2.weight"], last["layers.2.weight"])


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
    config = dataclasses.replace(SMALL, num_steps=4, num_snapshots=2, contrast_steps=2)
    larger = [part.repeat(1, 1, 2, 2) for part in (normal, held_out)]
    detector = config.build(pixels()).fit(*([part] for part in larger))
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
        {"num_snapshots": 0},
        {"width": 0},
        {"noise": -1.0},
        {"refiner_rate": 0.0},
        {"held_out_share": 1.0},
        {"contrast_steps": 2},
        {"contrast_steps": -1},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidInputError, match="must be"):
        ALOCC.Config(**settings)
