import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from models.metrics.generation import (
    coverage,
    frechet_distance,
    inception_score,
    nearest,
    precision_recall,
)


def with_moments(mean, covariance, num=400):
    """Points whose sample mean and covariance are exactly these."""
    points = np.random.default_rng(0).normal(size=(num, len(mean)))
    points -= points.mean(axis=0)
    points @= np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False))).T
    return points @ np.linalg.cholesky(covariance).T + mean


def test_the_frechet_distance_of_two_known_gaussians():
    # |(3, 4)|^2 + sum of (sigma_1 - sigma_2)^2 over both axes: 25 + (1 - 2)^2 + (3 - 1)^2
    one = with_moments([0, 0], np.diag([1.0, 9.0]))
    other = with_moments([3, 4], np.diag([4.0, 1.0]))
    assert frechet_distance(one, other) == pytest.approx(30, abs=1e-3)
    assert frechet_distance(other, one) == pytest.approx(30, abs=1e-3)


def test_the_frechet_distance_of_gaussians_that_do_not_commute():
    # Trace of the root of a 2 x 2 product A B: sqrt(tr(A B) + 2 sqrt(det(A B))).
    a, b = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[3.0, -1.0], [-1.0, 1.0]])
    product = a @ b
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = np.trace(a) + np.trace(b) - 2 * root
    found = frechet_distance(with_moments([1, 1], a), with_moments([1, 1], b))
    assert found == pytest.approx(expected, abs=1e-3)


def test_the_frechet_distance_to_itself_is_none_even_where_features_are_constant():
    features = with_moments([0, 0], np.eye(2))
    constant = np.concatenate([features, np.ones((400, 2))], axis=1)
    assert frechet_distance(constant, constant) == pytest.approx(0, abs=1e-4)


def test_the_inception_score_counts_classes_that_are_sure_and_equally_common():
    assert inception_score(np.eye(4)) == pytest.approx(4)
    assert inception_score(np.tile([[1.0, 0, 0, 0]], (6, 1))) == pytest.approx(1)
    assert inception_score(np.full((5, 4), 0.25)) == pytest.approx(1)
    # exp of the mean of KL((3/4, 1/4) || (1/2, 1/2))
    unsure = np.array([[0.75, 0.25], [0.25, 0.75]])
    expected = np.exp(0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert inception_score(unsure) == pytest.approx(expected)


def test_coverage_by_hand():
    found = coverage(np.array([0, 0, 0, 1]), 2)
    assert found.smallest_share == 0.25
    assert found.divergence == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert coverage(np.array([0, 1, 2]), 3).divergence == pytest.approx(0)
    missing = coverage(np.array([0, 0]), 2)
    assert missing.smallest_share == 0
    assert missing.divergence == pytest.approx(np.log(2))


def test_precision_and_recall_on_a_line():
    # Reach of the first neighbour: 1 for each real point, 5 for each drawn one.
    real = np.array([[0.0], [1.0], [10.0], [11.0]])
    drawn = np.array([[0.5], [5.5]])
    found = precision_recall(real, drawn, num_neighbours=1)
    assert found.precision == 0.5  # 0.5 lies among real points, 5.5 does not
    assert found.recall == 0.75 + 0.0  # 0, 1 and 10 lie within 5 of a drawn point, 11 does not


def test_precision_and_recall_agree_with_scikit_learn():
    random = np.random.default_rng(0)
    real, drawn = random.normal(size=(60, 3)), random.normal(size=(50, 3)) + 0.7
    found = precision_recall(real, drawn)
    for reference, others, value in ((real, drawn, found.precision), (drawn, real, found.recall)):
        index = NearestNeighbors(n_neighbors=4).fit(reference)
        reach = index.kneighbors(reference)[0][:, 3]
        inside = [
            any(
                np.linalg.norm(one - point) <= far
                for point, far in zip(reference, reach, strict=True)
            )
            for one in others
        ]
        assert value == pytest.approx(np.mean(inside))


def test_nearest_agrees_with_scikit_learn_over_many_parts():
    random = np.random.default_rng(0)
    images, training = random.random((600, 5)), random.random((40, 5))
    distance, index = NearestNeighbors(n_neighbors=1).fit(training).kneighbors(images)
    found = nearest(images, training)
    np.testing.assert_allclose(found.distance, distance[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(found.place, index[:, 0])


def test_a_memorised_image_has_no_distance():
    training = np.random.default_rng(0).random((10, 4))
    found = nearest(training[[3, 7]], training)
    assert found.place.tolist() == [3, 7]
    np.testing.assert_allclose(found.distance, 0, atol=1e-12)
