import math

import numpy as np
import pytest
import torch
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
    draw = torch.Generator().manual_seed(seed)
    factor = torch.randn(dim, rank or 2 * dim, generator=draw, dtype=torch.float64)
    return torch.randn(dim, generator=draw, dtype=torch.float64), factor @ factor.mT / dim


def rotation(dim, seed=9):
    draw = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(dim, dim, generator=draw, dtype=torch.float64)).Q


def test_the_frechet_distance_of_diagonal_gaussians_by_hand():
    # |(3, 4)|^2 + (1 - 2)^2 + (3 - 1)^2
    one = torch.tensor([0.0, 0.0]).double(), torch.diag(torch.tensor([1.0, 9.0])).double()
    other = torch.tensor([3.0, 4.0]).double(), torch.diag(torch.tensor([4.0, 1.0])).double()
    assert frechet_distance(*one, *other) == pytest.approx(30)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_frechet_distance_is_that_of_scipys_matrix_root(seed):
    one, other = gaussian(6, seed), gaussian(6, seed + 10)
    root = np.real(sqrtm(one[1].numpy() @ other[1].numpy()))
    traces = np.trace(one[1].numpy()) + np.trace(other[1].numpy())
    expected = float((one[0] - other[0]).square().sum()) + traces - 2 * np.trace(root)
    assert frechet_distance(*one, *other) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(*other, *one) == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_is_zero_for_equal_gaussians_even_singular_ones():
    for rank in (None, 2, 1):
        mean, covariance = gaussian(5, 3, rank)
        assert frechet_distance(mean, covariance, mean, covariance) == pytest.approx(0, abs=1e-6)
    nothing = torch.zeros(5, 5).double()
    assert frechet_distance(mean, nothing, mean, nothing) == 0


def test_a_rotation_changes_no_distance():
    one, other, turn = gaussian(5, 0, rank=3), gaussian(5, 1), rotation(5)
    turned = [(turn @ mean, turn @ cov @ turn.mT) for mean, cov in (one, other)]
    assert frechet_distance(*turned[0], *turned[1]) == pytest.approx(frechet_distance(*one, *other))


def test_units_of_single_features_change_no_whitened_distance():
    seen, known = gaussian(4, 0), gaussian(4, 1)
    factors = torch.tensor([1e-3, 1.0, 50.0, 2.0]).double()

    def distance(scale):
        parts = [(m * scale, c * torch.outer(scale, scale)) for m, c in (seen, known)]
        whitener = torch.linalg.inv(torch.linalg.cholesky(parts[1][1]))
        return whitened_distance(*parts[0], *parts[1], whitener)

    assert distance(factors) == pytest.approx(distance(torch.ones(4).double()))


def test_the_whitened_distance_of_means_is_that_of_mahalanobis():
    mean, covariance = gaussian(4, 2)
    shift = torch.tensor([1.0, -1.0, 0.5, 0.0]).double()
    whitener = torch.linalg.inv(torch.linalg.cholesky(covariance))
    found = whitened_distance(mean + shift, covariance, mean, covariance, whitener)
    assert found == pytest.approx(float(shift @ torch.linalg.inv(covariance) @ shift))


def test_the_limit_is_students_prediction_bound_of_the_logarithms():
    distances = torch.tensor([1.0, math.e, math.e**2]).double()
    reach = student.ppf(0.99, 2) * math.sqrt(1 + 1 / 3)  # logs 0, 1, 2: mean 1, deviation 1
    assert normal_limit(distances, 0.01) == pytest.approx(math.exp(1 + reach))
    assert normal_limit(torch.full((4,), 2.0)) == pytest.approx(2.0)
    with pytest.raises(InvalidInputError, match="needs 3 windows of frames, got 2"):
        normal_limit(distances[:2])


def clip_distance(draw, num_frames):
    """Of a window of one clip whose mean is its own, from the Gaussian of all clips."""
    samples = draw.normal(size=(num_frames, 6)) + 0.3 * draw.normal(size=6)
    mean, covariance = samples.mean(axis=0), np.cov(samples, rowvar=False, bias=True)
    known = np.zeros(6), 1.09 * np.eye(6)
    return frechet_distance(*map(torch.from_numpy, (mean, covariance, *known)))


def test_the_limit_covers_the_bias_of_small_windows():
    # Windows of 12 samples are far off by their size alone; a limit made of such windows knows it.
    draw = np.random.default_rng(0)
    small, large = (np.array([clip_distance(draw, num) for _ in range(300)]) for num in (12, 200))
    assert np.median(small) > 3 * np.median(large)
    limits = [normal_limit(torch.from_numpy(part), 0.05) for part in small.reshape(30, 10)]
    exceeded = np.mean([clip_distance(draw, 12) > limit for limit in limits for _ in range(20)])
    assert exceeded < 0.08
    assert np.mean(large > np.median(limits)) == 0


def test_uniform_p_values_are_as_uniform_as_they_get():
    statistic, p_value = uniformity(torch.full((20,), 5.0), 100, 100)
    assert (statistic, p_value) == (pytest.approx(0, abs=1e-12), 1.0)


def test_the_statistic_of_p_values_by_hand():
    # All in the first of four bins: the distribution is 1 where it should be 1/4.
    assert uniformity(torch.tensor([8.0, 0, 0, 0]), 8, 8)[0] == pytest.approx(0.75)
    # All in the last: 0 where it should be 3/4, and steps of 1/(9 + 1) are forgiven.
    assert uniformity(torch.tensor([0, 0, 0, 8.0]), 8, 9)[0] == pytest.approx(0.65)


def test_more_frames_say_no_more_than_the_clips_that_they_come_from():
    counts = torch.tensor([8.0, 1, 1, 2])
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
        found.append(uniformity(torch.from_numpy(counts).double(), 200, 30)[1])
    assert np.mean(np.array(found) < 0.05) <= 0.07


def test_without_p_values_there_is_no_test():
    with pytest.raises(InvalidInputError, match="got none"):
        uniformity(torch.zeros(4), 1, 1)


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
    features = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    found = sampled_places(features, 20, np.random.default_rng(0))
    assert torch.equal(found, features.reshape(6, 4))


def test_of_many_places_some_are_drawn_from_each_frame():
    frames, places = torch.arange(3.0), torch.arange(500.0)
    features = torch.stack(torch.meshgrid(frames, places, indexing="ij"), dim=-1)
    found = sampled_places(features, 20, np.random.default_rng(0))
    assert found.shape == (60, 2)
    assert torch.equal(found[:, 0], frames.repeat_interleave(20))
    assert len(found[:20, 1].unique()) > 10
    assert not torch.equal(found[:20, 1], found[20:40, 1])
