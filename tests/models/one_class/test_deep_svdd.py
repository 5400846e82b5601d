import dataclasses
import math

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.one_class.deep_svdd import (
    NEAREST,
    Autoencoder,
    DeepSVDD,
    SVDDEncoder,
    normalised,
)
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
    images = fitted._ranged(normalised(zeros))
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


def test_the_radius_of_a_soft_boundary_stays_nothing_while_it_warms_up():
    normal, held_out, _, _ = zeros_and_others()
    config = dataclasses.replace(SMALL, soft_boundary=True, pretrain_epochs=0, epochs=3)
    long, short = (
        dataclasses.replace(config, warm_up_epochs=epochs).build(pixels()) for epochs in (3, 0)
    )
    radii = []

    def progress(steps, *, total, description):
        for step in steps:
            radii.append(float(long.radius_))
            yield step

    long.fit([normal], [held_out], progress=progress)
    trained = [radius for radius in radii if not math.isnan(radius)]
    assert len(trained) >= 12
    assert not any(trained[:12])
    short.fit([normal], [held_out])
    assert long.losses_[1] != short.losses_[1]
    assert long.radius_ > 0


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


def test_nothing_has_a_bias_that_could_make_the_embedding_constant():
    network = Autoencoder(SVDDEncoder(1, 12, 5), 1, 12, 5)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.bias is None
        if isinstance(layer, nn.BatchNorm2d):
            assert not layer.affine


def test_shapes_are_those_of_embedding_and_images():
    encoder = SVDDEncoder(3, 8, 5).eval()
    images = torch.rand(2, 3, 8, 8)
    assert encoder(images).shape == (2, 5)
    restored = Autoencoder(encoder, 3, 8, 5).eval()(images)
    assert restored.shape == images.shape
    assert restored.min() > 0
    assert restored.max() < 1
