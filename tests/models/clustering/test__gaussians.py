import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

from models.clustering._gaussians import ClusterGaussians
from models.errors import TrainingError


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
