import numpy as np
import pytest
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.datasets import make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score

from models.functional.spectral import _links, spectral_clusters


@pytest.fixture
def moons():
    return make_moons(300, noise=0.05, random_state=0)


@pytest.mark.parametrize("seed", [0, 1])
def test_interleaved_half_moons_are_separated_where_k_means_fails(moons, seed):
    samples, classes = moons
    assert adjusted_rand_score(classes, spectral_clusters(samples, 2, seed=seed)) == 1
    balls = KMeans(2, n_init=20, random_state=seed).fit_predict(samples)
    assert adjusted_rand_score(classes, balls) < 0.5


def test_the_clusters_are_those_of_scikit_learn():
    samples, _ = make_blobs(200, centers=4, cluster_std=2.5, random_state=3)
    reference = SpectralClustering(
        4, affinity="nearest_neighbors", n_neighbors=11, random_state=0
    ).fit_predict(samples)
    found = spectral_clusters(samples, 4, num_neighbours=10, seed=0)
    assert adjusted_rand_score(reference, found) > 0.95


def test_the_same_seed_gives_the_same_clusters_whatever_the_global_one(moons):
    np.random.seed(1)  # noqa: NPY002
    once = spectral_clusters(moons[0], 3, seed=5)
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(once, spectral_clusters(moons[0], 3, seed=5))


def test_equal_samples_share_a_cluster_and_do_not_draw_it_to_them(moons):
    samples, classes = moons
    found = spectral_clusters(np.concatenate([samples, samples[:1].repeat(100, axis=0)]), 2, seed=0)
    assert adjusted_rand_score(classes, found[:300]) == 1
    assert (found[300:] == found[0]).all()


def test_a_few_samples_without_a_link_to_the_rest_are_no_cluster(moons):
    samples, classes = moons
    far = 20 + 0.1 * np.random.default_rng(0).normal(size=(12, 2))
    found = spectral_clusters(np.concatenate([samples, far]), 2, seed=0)
    assert adjusted_rand_score(classes, found[:300]) == 1
    nearest = ((samples - far.mean(axis=0)) ** 2).sum(axis=1).argmin()
    assert (found[300:] == found[nearest]).all()


def test_parts_without_a_link_are_clusters_if_they_are_large():
    samples, classes = make_blobs([30, 50, 90], centers=[[0, 0], [50, 0], [0, 50]], random_state=0)
    assert adjusted_rand_score(classes, spectral_clusters(samples, 3, seed=0)) == 1


@pytest.mark.parametrize("num", [3, 4, 7])
def test_hardly_more_samples_than_clusters_are_enough(num):
    samples = np.arange(num, dtype=np.float64)[:, None] ** 3
    assert set(spectral_clusters(samples, 3, seed=0)) == {0, 1, 2}


def test_views_bridge_what_differs_by_no_more_than_they_do():
    # Four balls; views move samples from each left one to the right one at its height.
    centers = [[0, 0], [9, 0], [0, 6], [9, 6]]
    samples, balls = make_blobs([40] * 4, centers=centers, cluster_std=0.5, random_state=0)
    views = [samples, samples + [9, 0] * (balls % 2 == 0)[:, None]]
    alone = spectral_clusters(samples, 4, seed=0)
    assert adjusted_rand_score(balls, alone) == 1
    assert adjusted_rand_score(balls // 2, spectral_clusters(samples, 2, views=views, seed=0)) == 1
    swapped = [samples, samples + [0, 6] * (balls < 2)[:, None]]
    found = spectral_clusters(samples, 2, views=swapped, seed=0)
    assert adjusted_rand_score(balls % 2, found) == 1


def test_links_are_to_the_nearest_by_the_nearest_view():
    draw = np.random.default_rng(0)
    samples = draw.normal(size=(20, 3))
    views = [samples + draw.normal(size=(20, 3)) for _ in range(3)]
    links = _links(samples, views, 4).toarray()
    for one in range(20):
        nearest = np.array(
            [min(np.linalg.norm(v[one] - other) for v in [samples, *views]) for other in samples]
        )
        nearest[one] = np.inf
        mine = set(np.argsort(nearest)[:4])
        assert mine <= set(np.flatnonzero(links[one]))
    assert np.array_equal(links, links.T)
    assert set(np.unique(links)) == {0.0, 0.5, 1.0}
    assert links.sum() == 20 * 4


def test_fewer_different_samples_than_clusters_are_refused():
    with pytest.raises(AssertionError, match="fewer different samples"):
        spectral_clusters(np.ones((5, 2)), 2, seed=0)
