"""Spectral clustering: clusters are what a graph of nearest neighbours falls into.

Shapes: N = samples, M = different ones, D = width, K = clusters.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

Samples = NDArray[np.float64]
Labels = NDArray[np.int64]
STARTS = 20
"""Runs of k-means on the eigenvectors, of which the best one counts."""
SPARE = 2
"""Eigenvectors for each cluster."""
WALK = 20
"""Steps of a random walk that stays where it is half of the time."""
SMALLEST = 0.1
"""Share of the mean size of a cluster that samples without a link to others need to be one."""
WEAK = 0.01
"""What a sample's weak links to all others sum to, in mean degrees."""


def spectral_clusters(
    samples: Samples,
    num_clusters: int,
    *,
    views: Sequence[Samples] = (),
    num_neighbours: int = 10,
    seed: int,
) -> Labels:
    """Cluster of each sample: a number in [0, K).

    Samples are linked to their nearest neighbours, and parted where that cuts few links: a cluster
    may have any shape and width, where those of k-means are balls. Where views of the samples are
    given, others are as near as the nearest of a sample and its views, which bridges what differs
    by no more than views do. Equal samples count once. A few samples without a link to the rest,
    which it would cost nothing to part from it, are left out and join the cluster of the nearest
    sample.

    More eigenvectors than clusters are clustered, each scaled by a power of its eigenvalue: by
    where random walks lead. With K of them alone, a cluster that falls apart easily
    takes the dimension in which two others differ.

    Args:
        samples: At least ``num_clusters`` different ones. Shape (N, D).
        num_clusters: Clusters K, >= 2.
        views: Where changed copies of the samples lie, in the same order. Each of shape (N, D).
        num_neighbours: To how many others a sample is linked, >= 1.
        seed: Of k-means and of what the eigenvectors are first guessed to be.

    References:
        Ng, Jordan and Weiss, 2001, "On Spectral Clustering: Analysis and an Algorithm".
        Coifman and Lafon, 2006, "Diffusion Maps", section 2: the scaled eigenvectors.
    """
    different, first, places = np.unique(samples, axis=0, return_index=True, return_inverse=True)
    assert len(different) >= num_clusters, "fewer different samples than clusters"
    links = _links(different, [view[first] for view in views], num_neighbours)
    kept = _linked(links, num_clusters)
    vectors = _eigenvectors(links[kept][:, kept], SPARE * num_clusters, seed)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = KMeans(num_clusters, n_init=STARTS, random_state=seed).fit_predict(vectors)
    nearest = NearestNeighbors(n_neighbors=1).fit(different[kept])
    labels = found[nearest.kneighbors(different, return_distance=False)[:, 0]]
    result: Labels = labels[places.reshape(-1)].astype(np.int64)
    return result


def _links(samples: Samples, views: Sequence[Samples], num: int) -> sparse.csr_matrix:
    """Whether one of two samples is among the nearest others of the other: 1 if both are, or 1/2.

    How far another is counts from the sample or from the nearest of its views.
    """
    size = len(samples)
    num = min(num, size - 1)
    nearest = NearestNeighbors(n_neighbors=num + 1).fit(samples)
    found = [nearest.kneighbors(view) for view in (samples, *views)]
    distance = np.concatenate([each[0] for each in found], axis=1)
    others = np.concatenate([each[1] for each in found], axis=1)
    order = np.lexsort((distance, others))
    distance, others = (np.take_along_axis(each, order, axis=1) for each in (distance, others))
    distance[others == np.arange(size)[:, None]] = np.inf
    distance[:, 1:][others[:, 1:] == others[:, :-1]] = np.inf
    chosen = np.take_along_axis(others, np.argsort(distance, axis=1, kind="stable")[:, :num], 1)
    rows = np.repeat(np.arange(size), num)
    graph = sparse.csr_matrix((np.ones(size * num), (rows, chosen.ravel())), shape=(size, size))
    both: sparse.csr_matrix = ((graph + graph.T) / 2).tocsr()
    return both


def _linked(links: sparse.csr_matrix, num_clusters: int) -> NDArray[np.bool_]:
    """Whether a sample is in a part of the graph that is large enough; all if too few would be."""
    _, part = connected_components(links, directed=False)
    large: NDArray[np.bool_] = np.bincount(part)[part] >= SMALLEST * len(part) / num_clusters
    return large if large.sum() >= num_clusters else np.ones_like(large)


def _eigenvectors(links: sparse.csr_matrix, num: int, seed: int) -> Samples:
    """Of the normalised graph, to its largest eigenvalues, as scaled columns. Shape (M, num).

    Weak links of every sample to all others make the graph connected, so that its eigenvalues
    differ and the iteration finds them all.
    """
    size = links.shape[0]
    degree = np.asarray(links.sum(axis=1)).ravel()
    weak = WEAK * degree.mean()
    scale = 1 / np.sqrt(degree + weak)

    def apply(vector: Samples) -> Samples:
        scaled = scale * vector.ravel()
        product: Samples = scale * (links @ scaled + weak / size * scaled.sum())
        return product

    if size <= 2 * num:
        dense = np.stack([apply(row) for row in np.eye(size)])
        values, vectors = (found[..., -num:] for found in np.linalg.eigh(dense))
    else:
        first = np.random.default_rng(seed).normal(size=size)
        graph = LinearOperator((size, size), matvec=apply, dtype=np.float64)
        values, vectors = eigsh(graph, num, which="LA", v0=first)
    scaled: Samples = vectors * np.clip((1 + values) / 2, 0, 1) ** WALK
    return scaled
