import dataclasses

import pytest
import torch
from sklearn.metrics import roc_auc_score

from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.one_class.deep_svdd import NEAREST, DeepSVDD
from tests.models.one_class.real import zeros_and_others
from tests.models.tiny import Tiny

SMALL = DeepSVDD.Config(side=8, batch_size=32, pretrain_epochs=10, epochs=10)


def pixels():
    return Pixels.Config().build()


@pytest.fixture(scope="module")
def fitted():
    normal, held_out, _, _ = zeros_and_others()
    return SMALL.build(pixels()).fit([normal], [held_out])


def test_other_digits_score_above_zeros(fitted):
    _, _, zeros, others = zeros_and_others()
    scores = fitted(torch.cat([zeros, others])).image_score
    assert roc_auc_score([0] * len(zeros) + [1] * len(others), scores) > 0.85


def test_it_does_not_collapse_to_one_point(fitted):
    _, _, zeros, _ = zeros_and_others()
    first, last = fitted.losses_.tolist()
    assert 0 < last < first
    assert fitted(zeros).image_score.unique().numel() > len(zeros) // 2
    assert (fitted.centre_.abs() >= NEAREST - 1e-6).all()


def test_the_score_is_the_squared_distance_to_the_centre(fitted):
    _, _, zeros, _ = zeros_and_others()
    images = fitted._ranged(fitted._normalised(zeros))
    expected = (fitted.network(images) - fitted.centre_.float()).square().sum(dim=1)
    torch.testing.assert_close(fitted(zeros).image_score, expected)


def test_brightness_and_contrast_are_taken_out(fitted):
    _, _, zeros, _ = zeros_and_others()
    torch.testing.assert_close(
        fitted(zeros / 2 + 0.25).image_score, fitted(zeros).image_score, rtol=1e-3, atol=1e-4
    )


def test_a_soft_boundary_leaves_the_share_nu_of_the_training_images_outside():
    normal, held_out, _, _ = zeros_and_others()
    config = dataclasses.replace(SMALL, soft_boundary=True, nu=0.2, pretrain_epochs=0)
    detector = config.build(pixels()).fit([normal], [held_out])
    assert (detector(normal).image_score > 0).double().mean() == pytest.approx(0.2, abs=0.02)


def test_it_refuses_what_it_cannot_learn_from():
    _, held_out, _, _ = zeros_and_others()
    with pytest.raises(InvalidInputError, match="must be Pixels, got Tiny"):
        SMALL.build(Tiny())
    with pytest.raises(TrainingError, match="show something"):
        SMALL.build(pixels()).fit([torch.zeros(9, 1, 8, 8)], [held_out])


@pytest.mark.parametrize("settings", [{"side": 10}, {"epochs": 0}, {"nu": 0.0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidInputError, match="must be"):
        DeepSVDD.Config(**settings)
