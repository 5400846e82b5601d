import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score

from models.clustering._start import k_means, spectral
from models.errors import TrainingError


@pytest.fixture
def moons():
    samples, classes = make_moons(200, noise=0.05, random_state=0)
    return torch.tensor(samples, dtype=torch.float32), classes


def test_k_means_is_that_of_scikit_learn(moons):
    embedding, classes = moons
    labels, centroids = k_means(embedding, 2, seed=3)
    expected = KMeans(2, n_init=20, random_state=3).fit(embedding.double().numpy())
    assert np.array_equal(labels.numpy(), expected.labels_)
    np.testing.assert_allclose(centroids.numpy(), expected.cluster_centers_, rtol=1e-6)
    assert adjusted_rand_score(classes, labels) < 0.5


def test_the_spectral_start_separates_half_moons_and_has_their_means(moons):
    embedding, classes = moons
    labels, centroids = spectral(embedding, embedding, [], 2, seed=0)
    assert adjusted_rand_score(classes, labels) == 1
    for cluster, centroid in enumerate(centroids):
        torch.testing.assert_close(centroid, embedding[labels == cluster].mean(dim=0))


def test_the_graph_is_of_the_images_and_the_centroids_are_in_the_embedding(moons):
    samples, classes = moons
    embedding = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    labels, centroids = spectral(embedding, samples, [samples + 0.01], 2, seed=0)
    assert adjusted_rand_score(classes, labels) == 1
    torch.testing.assert_close(centroids[1], embedding[labels == 1].mean(dim=0))


def test_fewer_different_images_than_clusters_are_refused():
    embedding = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).repeat(5, 1)
    with pytest.raises(TrainingError, match="3 clusters need as many different images, got 2"):
        k_means(embedding, 3, seed=0)
    with pytest.raises(TrainingError, match="3 clusters need as many different images, got 2"):
        spectral(embedding, embedding, [], 3, seed=0)
