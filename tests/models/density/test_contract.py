"""Every density model on disk keeps the promises of ``models.contracts.DensityModel``."""

import pytest
import torch

from models.contracts import DensityModel
from models.errors import InvalidInputError, NotFittedError, TrainingError
from tests.models.one_class.test_contract import (  # noqa: F401
    test_a_second_fit_forgets_the_first,
    test_fit_does_not_depend_on_the_batch_size,
    test_fit_leaves_the_encoder_and_global_randomness_alone,
    test_it_becomes_a_program_that_scores_alike,
    test_learned_state_is_nan_before_fit_and_finite_after,
    test_nothing_works_before_fit,
    test_satisfies_the_protocols,
    test_scores_do_not_depend_on_the_batch_size,
    test_state_dict_round_trip,
    test_the_same_seed_gives_the_same_detector,
)
from tests.models.tiny import Tiny


def test_is_a_density_model(detector_class, detector, config):
    members = {name for name in vars(DensityModel) if not name.startswith("_")}
    assert members <= set(dir(detector_class))
    assert detector.config == config


def test_neither_likelihood_nor_samples_before_fit(detector, normal):
    for use in (lambda: detector.log_likelihood(normal), lambda: detector.sample(1)):
        with pytest.raises(NotFittedError, match="Call fit"):
            use()


def test_broken_images_score_above_normal_ones(fitted, normal, held_out):
    broken = held_out.clone()
    broken[:, :, :, ::2] = 1 - broken[:, :, :, ::2]
    scores = fitted(broken).image_score
    assert scores.min() > fitted(normal).image_score.max()
    assert scores.min() >= fitted.threshold


def test_a_broken_spot_is_found_where_it_is(fitted, held_out):
    spotted = held_out.clone()
    spotted[:, :, 3:8, 3:8] = 1 - spotted[:, :, 3:8, 3:8]
    spotted[:, :, 4:7:2, 4:7] = 1
    surprise = (fitted(spotted).anomaly_map - fitted(held_out).anomaly_map).mean(dim=0)
    assert surprise.shape == (12, 12)
    assert surprise[3:8, 3:8].mean() > 5 * surprise[:, 10:].abs().mean()
    flagged = fitted(spotted).anomaly_map >= fitted.pixel_threshold
    assert flagged[:, 3:8, 3:8].double().mean() > 3 * flagged[:, :, 10:].double().mean()


def test_at_most_the_allowed_share_of_calibration_images_alarms(fitted, held_out):
    scores = fitted(held_out)
    rate = fitted.config.false_alarm_rate
    assert (scores.image_score >= fitted.threshold).double().mean() <= rate
    flagged = (scores.anomaly_map >= fitted.pixel_threshold).flatten(1).any(dim=1)
    assert flagged.double().mean() <= rate


def test_the_likelihood_of_normal_images_is_higher_than_that_of_noise(fitted, held_out):
    noise = torch.rand(held_out.shape, generator=torch.Generator().manual_seed(3))
    found = fitted.log_likelihood(held_out)
    assert found.shape == (24,)
    assert (found <= 0).all()
    assert found.mean() > fitted.log_likelihood(noise).mean()


def test_samples_are_images_of_the_fitted_size(fitted):
    samples = fitted.sample(6, seed=3)
    assert samples.shape == (6, 1, 12, 12)
    assert samples.dtype == torch.float32
    assert samples.min() >= 0
    assert samples.max() <= 1
    assert not torch.equal(samples[0], samples[1])


def test_the_same_seed_draws_the_same_samples(fitted):
    torch.manual_seed(1)
    once = fitted.sample(4, seed=5)
    torch.manual_seed(2)
    expected = torch.rand(1)
    torch.manual_seed(2)
    assert torch.equal(fitted.sample(4, seed=5), once)
    assert torch.equal(torch.rand(1), expected)
    assert not torch.equal(fitted.sample(4, seed=6), once)


def test_samples_resemble_the_training_images(fitted, normal):
    brightness = fitted.sample(40, seed=0).mean()
    assert abs(brightness - normal.mean()) < 0.15


def test_statistics_are_plain_float64(fitted):
    statistics = fitted.statistics()
    assert statistics
    assert all(value.dtype == torch.float64 for value in statistics.values())
    assert all(value.isfinite().all() for value in statistics.values())


def test_progress_sees_every_step(detector, normal, held_out):
    seen = []

    def progress(steps, *, total, description):
        steps = list(steps)
        seen.append((total, len(steps), description))
        return steps

    detector.fit([normal], [held_out], progress=progress)
    (total, num, description), (held_out_total, *_) = seen
    assert held_out_total == 1
    assert total == num == detector.config.epochs * -(-48 // detector.config.batch_size)
    assert description
    assert len(detector.history_) == detector.config.epochs
    assert detector.history_[-1] < detector.history_[0]


def test_a_last_batch_of_one_image_is_no_trouble(detector, normal, held_out):
    detector.train().fit([normal[:17]], [held_out])
    assert not detector.training
    assert detector(normal).image_score.isfinite().all()


def test_images_of_another_size_are_refused(fitted):
    with pytest.raises(InvalidInputError, match="image_size"):
        fitted(torch.zeros(1, 1, 12, 16))


def test_an_encoder_that_changes_images_is_refused(config):
    with pytest.raises(InvalidInputError, match=r"Pixels\.Config"):
        config.build(Tiny())


def test_without_images_there_is_nothing_to_fit(detector, normal):
    with pytest.raises(TrainingError, match="calibration images"):
        detector.fit([normal], [])
    with pytest.raises(TrainingError, match="got none"):
        detector.fit([], [normal])
    with pytest.raises(NotFittedError):
        detector(normal)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"learning_rate": 0.0},
        {"false_alarm_rate": 1.0},
        {"neighbourhood": 2},
        {"batch_size": 0},
    ],
)
def test_settings_out_of_range_are_refused(detector_class, wrong):
    with pytest.raises(InvalidInputError):
        detector_class.Config(**wrong)
