import pytest
import torch
from jaxtyping import TypeCheckError
from sklearn.covariance import ShrunkCovariance

from models.errors import TrainingError
from models.functional.gaussian import Moments, cholesky, mahalanobis, whitening


def samples(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def moments_of(*parts):
    moments = Moments(parts[0].shape[1])
    for part in parts:
        moments.update(part)
    return moments


def test_distance_to_a_unit_gaussian_is_euclidean():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert mahalanobis(x, torch.zeros(2), torch.eye(2)).tolist() == [5.0, 0.0]


def test_matches_scikit_learn():
    x = samples(50, 6)
    reference = ShrunkCovariance(shrinkage=0.1).fit(x.numpy())
    moments = moments_of(x[:7], x[7:8], x[8:])
    covariance = moments.covariance(0.1)
    torch.testing.assert_close(covariance, torch.from_numpy(reference.covariance_))
    distance = mahalanobis(x, moments.mean, whitening(cholesky(covariance)))
    torch.testing.assert_close(distance**2, torch.from_numpy(reference.mahalanobis(x.numpy())))


def test_parts_merge_to_the_whole_far_from_the_origin():
    x = samples(999, 4) + 1e6
    merged = moments_of(x[:10])
    merged.merge(moments_of(x[10:500]))
    merged.merge(moments_of(x[500:]))
    assert merged.count == 999
    torch.testing.assert_close(merged.mean, x.mean(dim=0), rtol=1e-14, atol=0)
    torch.testing.assert_close(
        merged.covariance(0.0), (x - 1e6).T.cov(correction=0), rtol=1e-9, atol=1e-12
    )


def test_scaled_moments_are_those_of_scaled_samples():
    x, factors = samples(30, 3), torch.tensor([2.0, 0.0, -3.0], dtype=torch.float64)
    scaled, expected = moments_of(x).scaled(factors), moments_of(x * factors)
    torch.testing.assert_close(scaled.mean, expected.mean)
    torch.testing.assert_close(scaled.scatter, expected.scatter)
    assert scaled.count == expected.count


def test_nothing_is_neutral():
    x = samples(5, 2)
    moments = moments_of(x, x[:0])
    moments.merge(Moments(2))
    assert moments.count == 5
    torch.testing.assert_close(moments.mean, x.mean(dim=0))


def test_a_constant_feature_is_held_by_shrinkage():
    x = torch.cat([samples(20, 2), torch.ones(20, 1, dtype=torch.float64)], dim=1)
    moments = moments_of(x)
    assert cholesky(moments.covariance(0.01)).isfinite().all()
    with pytest.raises(TrainingError, match="Raise shrinkage"):
        cholesky(moments.covariance(0.0))


def test_equal_samples_are_refused():
    with pytest.raises(TrainingError, match="got 4 equal ones"):
        moments_of(torch.ones(4, 3)).covariance(0.1)


def test_no_samples_are_refused():
    with pytest.raises(TrainingError, match="got 0 equal ones"):
        Moments(3).covariance(0.1)


def test_samples_that_are_not_finite_are_refused():
    x = samples(4, 2)
    x[1, 1] = torch.nan
    with pytest.raises(TrainingError, match="must be finite"):
        moments_of(x)


def test_shrinkage_outside_its_interval_is_refused():
    with pytest.raises(ValueError, match=r"shrinkage must be in \[0, 1\], got 2.0"):
        moments_of(samples(4, 2)).covariance(2.0)


def test_shape_annotations_are_enforced_under_test():
    with pytest.raises(TypeCheckError, match="mean"):
        mahalanobis(torch.zeros(4, 2), torch.zeros(3), torch.eye(2))
