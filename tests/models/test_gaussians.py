import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

from models.errors import TrainingError
from models.functional.gaussian import Moments
from models.gaussians import ClusterGaussians, Gaussian, Part


def moments_of(samples):
    moments = Moments(samples.shape[1])
    moments.update(samples)
    return moments


def test_distances_match_a_direct_solution():
    x = torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor([1.0, 10.0, 0.1, 2.0], dtype=torch.float64)
    gaussian = Gaussian(4)
    gaussian.set(moments_of(x), 0.2, scale)
    scaled = x * scale
    covariance = scaled.T.cov(correction=0)
    shrunk = 0.8 * covariance + 0.2 * covariance.diagonal().mean() * torch.eye(4)
    gap = scaled - scaled.mean(dim=0)
    expected = (gap * torch.linalg.solve(shrunk, gap.T).T).sum(dim=1).sqrt()
    torch.testing.assert_close(gaussian(x), expected)
    torch.testing.assert_close(gaussian.covariance_, x.T.cov(correction=0))


def test_without_scale_features_keep_their_units():
    x = torch.randn(20, 3, dtype=torch.float64)
    with_ones, without = Gaussian(3), Gaussian(3)
    with_ones.set(moments_of(x), 0.1, torch.ones(3, dtype=torch.float64))
    without.set(moments_of(x), 0.1)
    torch.testing.assert_close(with_ones(x), without(x))


def test_a_feature_scaled_to_nothing_has_no_say():
    x = torch.randn(20, 2, dtype=torch.float64)
    gaussian = Gaussian(2)
    gaussian.set(moments_of(x), 0.1, torch.tensor([1.0, 0.0], dtype=torch.float64))
    moved = x + torch.tensor([0.0, 5.0])
    torch.testing.assert_close(gaussian(x), gaussian(moved))


def test_everything_is_nan_at_first():
    assert all(value.isnan().all() for value in Gaussian(3).state_dict().values())


def test_parts_are_shrunk_apart_and_weighed():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(40, 3, dtype=torch.float64, generator=draw) * torch.tensor([1.0, 2.0, 100.0])
    gaussian = Gaussian(3)
    gaussian.set(moments_of(x), 0.2, parts=[Part(2, 1.0), Part(1, 3.0)])
    first, second = Gaussian(2), Gaussian(1)
    first.set(moments_of(x[:, :2]), 0.2)
    second.set(moments_of(x[:, 2:]), 0.2)
    ours, other = first(x[:, :2]).square(), second(x[:, 2:]).square()
    expected = ours / ours.mean() + 3 * other / other.mean()
    torch.testing.assert_close(gaussian(x).square(), expected)


def test_a_part_that_never_varies_has_no_say():
    x = torch.randn(20, 3, dtype=torch.float64)
    x[:, 2] = 4.0
    gaussian = Gaussian(3)
    gaussian.set(moments_of(x), 0.1, parts=[Part(2, 1.0), Part(1, 1.0)])
    torch.testing.assert_close(gaussian(x), gaussian(x + torch.tensor([0.0, 0.0, 5.0])))
    assert gaussian(x).square().mean().item() == pytest.approx(1)


def test_a_cluster_of_one_dimension_by_hand():
    gaussians = ClusterGaussians(2, 1)
    samples = torch.tensor([[0.0], [2.0], [10.0], [16.0]])
    gaussians.set(samples, torch.tensor([0, 0, 1, 1]), shrinkage=0.5)
    # Scatters 2 and 18, together 20: (0.5 * 2 + 0.5 * 20) / (0.5 * 2 + 0.5 * 4) = 11 / 3.
    assert gaussians.statistics()["mean"].tolist() == [[1.0], [13.0]]
    variances = gaussians.statistics()["covariance"].flatten()
    torch.testing.assert_close(variances, torch.tensor([11 / 3, 19 / 3], dtype=torch.float64))
    assert gaussians.statistics()["count"].tolist() == [2.0, 2.0]


def test_distances_are_those_of_scipy():
    draw = np.random.default_rng(0)
    samples = draw.normal(size=(40, 3)) * [1, 2, 3]
    labels = np.arange(40) % 2
    gaussians = ClusterGaussians(2, 3)
    gaussians.set(torch.tensor(samples), torch.tensor(labels), shrinkage=0.1)
    found = gaussians(torch.tensor(samples[:5]))
    for cluster in range(2):
        mean = gaussians.mean_[cluster].numpy()
        inverse = np.linalg.inv(gaussians.covariance_[cluster].numpy())
        expected = [mahalanobis(sample, mean, inverse) for sample in samples[:5]]
        np.testing.assert_allclose(found[:, cluster], expected)


def test_a_cluster_of_one_sample_has_a_width():
    gaussians = ClusterGaussians(2, 2)
    samples = torch.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 0.0], [9.0, 9.0]])
    gaussians.set(samples, torch.tensor([0, 0, 0, 1]), shrinkage=0.1)
    assert gaussians(torch.tensor([[9.0, 9.0]]))[0, 1] == 0
    assert gaussians(torch.tensor([[9.0, 10.0]]))[0, 1].isfinite()


def test_clusters_without_any_width_are_refused():
    with pytest.raises(TrainingError, match="samples that vary"):
        ClusterGaussians(2, 1).set(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1]), 0.1)
