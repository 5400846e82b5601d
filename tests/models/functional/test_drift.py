import math

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import t as student

from models.errors import InvalidInputError
from models.functional.drift import (
    DRIFT,
    NONE,
    UNKNOWN,
    frechet_distance,
    judge,
    normal_limit,
    sampled_places,
    uniformity,
    whitened_distance,
)


def gaussian(dim, seed, rank=None):
    draw = np.random.default_rng(seed)
    factor = draw.normal(size=(dim, rank or 2 * dim))
    return draw.normal(size=dim), factor @ factor.T / dim


def rotation(dim, seed=9):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim))).Q


def test_the_frechet_distance_of_diagonal_gaussians_by_hand():
    # |(3, 4)|^2 + (1 - 2)^2 + (3 - 1)^2
    one = np.array([0.0, 0.0]), np.diag([1.0, 9.0])
    other = np.array([3.0, 4.0]), np.diag([4.0, 1.0])
    assert frechet_distance(*one, *other) == pytest.approx(30)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_frechet_distance_is_that_of_scipys_matrix_root(seed):
    one, other = gaussian(6, seed), gaussian(6, seed + 10)
    root = np.real(sqrtm(one[1] @ other[1]))
    traces = np.trace(one[1]) + np.trace(other[1])
    expected = float(np.square(one[0] - other[0]).sum()) + traces - 2 * np.trace(root)
    assert frechet_distance(*one, *other) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(*other, *one) == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_is_zero_for_equal_gaussians_even_singular_ones():
    for rank in (None, 2, 1):
        mean, covariance = gaussian(5, 3, rank)
        assert frechet_distance(mean, covariance, mean, covariance) == pytest.approx(0, abs=1e-6)
    nothing = np.zeros((5, 5))
    assert frechet_distance(mean, nothing, mean, nothing) == 0


def test_a_rotation_changes_no_distance():
    one, other, turn = gaussian(5, 0, rank=3), gaussian(5, 1), rotation(5)
    turned = [(turn @ mean, turn @ cov @ turn.T) for mean, cov in (one, other)]
    assert frechet_distance(*turned[0], *turned[1]) == pytest.approx(frechet_distance(*one, *other))


def test_units_of_single_features_change_no_whitened_distance():
    seen, known = gaussian(4, 0), gaussian(4, 1)
    factors = np.array([1e-3, 1.0, 50.0, 2.0])

    def distance(scale):
        parts = [(m * scale, c * np.outer(scale, scale)) for m, c in (seen, known)]
        whitener = np.linalg.inv(np.linalg.cholesky(parts[1][1]))
        return whitened_distance(*parts[0], *parts[1], whitener)

    assert distance(factors) == pytest.approx(distance(np.ones(4)))


def test_the_whitened_distance_of_means_is_that_of_mahalanobis():
    mean, covariance = gaussian(4, 2)
    shift = np.array([1.0, -1.0, 0.5, 0.0])
    whitener = np.linalg.inv(np.linalg.cholesky(covariance))
    found = whitened_distance(mean + shift, covariance, mean, covariance, whitener)
    assert found == pytest.approx(float(shift @ np.linalg.inv(covariance) @ shift))


def test_the_limit_is_students_prediction_bound_of_the_logarithms():
    distances = np.array([1.0, math.e, math.e**2])
    reach = student.ppf(0.99, 2) * math.sqrt(1 + 1 / 3)  # logs 0, 1, 2: mean 1, deviation 1
    assert normal_limit(distances, 0.01) == pytest.approx(math.exp(1 + reach))
    assert normal_limit(np.full(4, 2.0)) == pytest.approx(2.0)
    with pytest.raises(InvalidInputError, match="needs 3 windows of frames, got 2"):
        normal_limit(distances[:2])


def clip_distance(draw, num_frames):
    """Of a window of one clip whose mean is its own, from the Gaussian of all clips."""
    samples = draw.normal(size=(num_frames, 6)) + 0.3 * draw.normal(size=6)
    mean, covariance = samples.mean(axis=0), np.cov(samples, rowvar=False, bias=True)
    known = np.zeros(6), 1.09 * np.eye(6)
    return frechet_distance(mean, covariance, *known)


def test_the_limit_covers_the_bias_of_small_windows():
    # Windows of 12 samples are far off by their size alone; a limit made of such windows knows it.
    draw = np.random.default_rng(0)
    small, large = (np.array([clip_distance(draw, num) for _ in range(300)]) for num in (12, 200))
    assert np.median(small) > 3 * np.median(large)
    limits = [normal_limit(part, 0.05) for part in small.reshape(30, 10)]
    exceeded = np.mean([clip_distance(draw, 12) > limit for limit in limits for _ in range(20)])
    assert exceeded < 0.08
    assert np.mean(large > np.median(limits)) == 0


def test_uniform_p_values_are_as_uniform_as_they_get():
    statistic, p_value = uniformity(np.full(20, 5.0), 100, 100)
    assert (statistic, p_value) == (pytest.approx(0, abs=1e-12), 1.0)


def test_the_statistic_of_p_values_by_hand():
    # All in the first of four bins: the distribution is 1 where it should be 1/4.
    assert uniformity(np.array([8.0, 0, 0, 0]), 8, 8)[0] == pytest.approx(0.75)
    # All in the last: 0 where it should be 3/4, and steps of 1/(9 + 1) are forgiven.
    assert uniformity(np.array([0, 0, 0, 8.0]), 8, 9)[0] == pytest.approx(0.65)


def test_more_frames_say_no_more_than_the_clips_that_they_come_from():
    counts = np.array([8.0, 1, 1, 2])
    few, many = (uniformity(times * counts, 6, 50)[1] for times in (1, 100))
    assert few == many
    assert uniformity(counts, 60, 50)[1] < few
    assert uniformity(counts, 60, 3)[1] > uniformity(counts, 60, 50)[1]


def test_false_alarms_of_the_test_stay_within_its_rate():
    # Conformal p-values of scores that are drawn like the calibration scores, 30 of them.
    draw, found = np.random.default_rng(1), []
    for _ in range(300):
        calibration, scores = draw.normal(size=30), draw.normal(size=200)
        p = (1 + (calibration[None] >= scores[:, None]).sum(axis=1)) / 31
        counts = np.histogram(-p, bins=np.linspace(-1, 0, 21))[0][::-1].copy()
        found.append(uniformity(counts.astype(np.float64), 200, 30)[1])
    assert np.mean(np.array(found) < 0.05) <= 0.07


def test_without_p_values_there_is_no_test():
    with pytest.raises(InvalidInputError, match="got none"):
        uniformity(np.zeros(4), 1, 1)


@pytest.mark.parametrize(
    ("changes", "verdict", "sentence"),
    [
        ({}, NONE, "1.5 is within the 2 that normal clips may reach. P-values are as those of"),
        ({"distance": 2.5}, DRIFT, "2.5 is above the 2"),
        ({"p_value": 1e-4}, DRIFT, "P-values are not as those of normal clips"),
        ({"distance": None}, NONE, "P-values are as"),
        ({"limit": None}, NONE, "P-values are as"),
        ({"num_frames": 9, "distance": 99.0}, UNKNOWN, "9 of 10 frames were seen"),
    ],
)
def test_either_test_decides_once_there_are_frames(changes, verdict, sentence):
    given = {"num_frames": 10, "wanted": 10, "distance": 1.5, "limit": 2.0, "p_value": 0.5}
    found = judge(**{**given, **changes})
    assert found.verdict == verdict
    assert sentence in found.why


def test_all_places_are_kept_as_long_as_they_are_few():
    features = np.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    found = sampled_places(features, 20, np.random.default_rng(0))
    assert np.array_equal(found, features.reshape(6, 4))


def test_of_many_places_some_are_drawn_from_each_frame():
    frames, places = np.arange(3.0), np.arange(500.0)
    features = np.stack(np.meshgrid(frames, places, indexing="ij"), axis=-1)
    found = sampled_places(features, 20, np.random.default_rng(0))
    assert found.shape == (60, 2)
    assert np.array_equal(found[:, 0], frames.repeat(20))
    assert len(np.unique(found[:20, 1])) > 10
    assert not np.array_equal(found[:20, 1], found[20:40, 1])
