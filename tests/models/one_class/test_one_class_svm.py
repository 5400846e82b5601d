import pytest
import torch
from sklearn import svm

from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.functional.embeddings import sampled
from models.one_class.one_class_svm import OneClassSVM


def fitted(normal, held_out, **settings):
    config = OneClassSVM.Config(grid=12, **settings)
    return config.build(Pixels.Config().build()).fit([normal], [held_out])


@pytest.mark.parametrize("gamma", [None, 0.3])
def test_scores_are_scikit_learns_decision_with_its_sign_turned(normal, held_out, gamma):
    detector = fitted(normal, held_out, nu=0.3, gamma=gamma)
    reference = svm.OneClassSVM(nu=0.3, gamma=gamma or "scale")
    reference.fit(sampled([normal.flatten(1)], 5000, seed=0).double().numpy())
    images = torch.cat([held_out, normal, held_out + 0.5])
    expected = -reference.decision_function(images.flatten(1).double().numpy())
    assert detector(images).image_score.numpy() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_far_away_the_score_is_the_offset(normal, held_out):
    detector = fitted(normal, held_out)
    torch.testing.assert_close(detector(normal[:1] + 100).image_score[0], detector.rho_.float())


def test_support_vectors_are_bounded(normal, held_out):
    detector = fitted(normal, held_out, max_samples=12)
    assert detector.support_vectors_.shape == (12, 144)
    assert detector.dual_coefficients_.sum() == pytest.approx(0.1 * 12)


def test_images_that_are_all_alike_need_a_width(held_out):
    with pytest.raises(TrainingError, match="Set gamma"):
        fitted(torch.ones(5, 1, 12, 12), held_out)


@pytest.mark.parametrize("settings", [{"nu": 0.0}, {"gamma": 0.0}, {"max_samples": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidInputError, match="must be"):
        OneClassSVM.Config(**settings)
