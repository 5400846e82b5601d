"""Every clusterer on disk keeps the promises of ``models.contracts.Clusterer``."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.contracts import Clusterer
from models.errors import NotFittedError, TrainingError
from tests.models.one_class.test_contract import (  # noqa: F401
    test_anomalies_score_above_normal_images,
    test_config_is_frozen_and_kept,
    test_fit_leaves_the_encoder_and_global_randomness_alone,
    test_learned_state_is_nan_before_fit_and_finite_after,
    test_nothing_works_before_fit,
    test_satisfies_the_protocols,
    test_the_same_seed_gives_the_same_detector,
)
from tests.models.tiny import Tiny


def test_is_a_clusterer(detector_class):
    assert {"assign"} <= set(dir(detector_class))
    assert isinstance(detector_class.Config().build(Tiny()), torch.nn.Module)
    assert "assign" in vars(Clusterer)


def test_assigns_nothing_before_fit(detector, normal):
    with pytest.raises(NotFittedError, match="Call fit"):
        detector.assign(normal)


def test_finds_two_kinds_that_differ_plainly(fitted, held_out):
    assignment = fitted.assign(held_out)
    assert assignment.shape == (24, 2)
    torch.testing.assert_close(assignment.sum(1), torch.ones(24))
    labels = assignment.argmax(1)
    assert torch.equal(labels[::2], labels[:1].expand(12))
    assert torch.equal(labels[1::2], 1 - labels[::2])


def test_scores_carry_the_soft_assignment_and_no_map(fitted, held_out):
    scores = fitted(held_out)
    torch.testing.assert_close(scores.soft_assignment, fitted.assign(held_out))
    assert scores.anomaly_map is None
    assert fitted.pixel_threshold == fitted.threshold


def test_scores_and_fit_do_not_depend_on_the_batch_size(fitted, detector, normal, held_out):
    whole = fitted(normal)
    parts = [fitted(part) for part in normal.chunk(5)]
    for place in ("image_score", "soft_assignment"):
        split = torch.cat([getattr(part, place) for part in parts])
        torch.testing.assert_close(getattr(whole, place), split, rtol=1e-3, atol=1e-4)
    again = detector.fit(normal.chunk(3), held_out.chunk(5))(normal)
    torch.testing.assert_close(whole.image_score, again.image_score, rtol=1e-3, atol=1e-4)


def test_a_second_fit_forgets_the_first(fitted, detector, normal, held_out):
    once = fitted(normal).image_score
    detector.fit([normal.transpose(2, 3) / 2], [held_out.transpose(2, 3) / 2])
    twice = detector.fit([normal], [held_out])(normal).image_score
    torch.testing.assert_close(once, twice)


def test_state_dict_round_trip(fitted, normal, tmp_path):
    expected = fitted(normal)
    save_file(fitted.state_dict(), tmp_path / "weights.safetensors")
    fresh = fitted.config.build(Tiny())
    fresh.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(fresh(normal).image_score, expected.image_score)
    assert torch.equal(fresh(normal).soft_assignment, expected.soft_assignment)
    assert fresh.threshold == fitted.threshold


def test_statistics_are_plain_float64_of_each_cluster(fitted):
    statistics = fitted.statistics()
    assert all(value.dtype == torch.float64 for value in statistics.values())
    assert statistics["mean"].shape == statistics["centroids"].shape == (2, 3)
    assert statistics["covariance"].shape == (2, 3, 3)
    assert statistics["count"].tolist() == [16, 16]


def test_progress_sees_every_step(detector, normal, held_out):
    seen = []

    def progress(steps, *, total, description):
        steps = list(steps)
        assert len(steps) == total
        seen.append(description)
        return steps

    detector.fit(normal.chunk(4), held_out.chunk(2), progress=progress)
    assert seen == ["Autoencoder", "Clustering", "Calibration"]


def test_the_threshold_comes_from_the_calibration_images(fitted, detector, normal, held_out):
    alarms = (fitted(held_out).image_score >= fitted.threshold).double().mean()
    assert alarms <= 0.05
    assert detector.fit([normal], [held_out * 1.5]).threshold > fitted.threshold


def test_fewer_images_than_clusters_and_none_at_all_are_refused(detector, normal):
    with pytest.raises(TrainingError, match="need as many different images, got 1"):
        detector.fit([normal[:1]], [normal])
    with pytest.raises(TrainingError, match="got none"):
        detector.fit([], [normal])
    with pytest.raises(TrainingError, match="calibration images, got none"):
        detector.fit([normal], [])
