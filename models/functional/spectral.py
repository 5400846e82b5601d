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
    given, a sample is linked to the neighbours of its views instead, which bridges what differs by
    no more than views do. Equal samples count once. A few samples without a link to the rest, which
    it would cost nothing to part from it, are left out and join the cluster of the nearest sample.

    Args:
        samples: At least ``num_clusters`` different ones. Shape (N, D).
        num_clusters: Clusters K, >= 2.
        views: Where changed copies of the samples lie, in the same order. Each of shape (N, D).
        num_neighbours: To how many others a sample is linked, once or for each view, >= 1.
        seed: Of k-means and of what the eigenvectors are first guessed to be.

    References:
        Ng, Jordan and Weiss, 2001, "On Spectral Clustering: Analysis and an Algorithm".
    """
    different, first, places = np.unique(samples, axis=0, return_index=True, return_inverse=True)
    assert len(different) >= num_clusters, "fewer different samples than clusters"
    links = _links(different, [view[first] for view in views] or [different], num_neighbours)
    kept = _linked(links, num_clusters)
    vectors = _eigenvectors(links[kept][:, kept], num_clusters, seed)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = KMeans(num_clusters, n_init=STARTS, random_state=seed).fit_predict(vectors)
    nearest = NearestNeighbors(n_neighbors=1).fit(different[kept])
    labels = found[nearest.kneighbors(different, return_distance=False)[:, 0]]
    result: Labels = labels[places.reshape(-1)].astype(np.int64)
    return result


def _links(samples: Samples, views: Sequence[Samples], num: int) -> sparse.csr_matrix:
    """How often one of two samples is among the others nearest to a view of the other, halved."""
    nearest = NearestNeighbors(n_neighbors=min(num + 1, len(samples))).fit(samples)
    graph = sum(nearest.kneighbors_graph(view) for view in views)
    both: sparse.csr_matrix = (graph + graph.T) / 2
    both.setdiag(0)
    both.eliminate_zeros()
    return both


def _linked(links: sparse.csr_matrix, num_clusters: int) -> NDArray[np.bool_]:
    """Whether a sample is in a part of the graph that is large enough; all if too few would be."""
    _, part = connected_components(links, directed=False)
    large: NDArray[np.bool_] = np.bincount(part)[part] >= SMALLEST * len(part) / num_clusters
    return large if large.sum() >= num_clusters else np.ones_like(large)


def _eigenvectors(links: sparse.csr_matrix, num: int, seed: int) -> Samples:
    """Of the normalised graph, to its largest eigenvalues, as columns. Shape (M, K).

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
        return np.linalg.eigh(dense).eigenvectors[:, -num:]
    first = np.random.default_rng(seed).normal(size=size)
    graph = LinearOperator((size, size), matvec=apply, dtype=np.float64)
    vectors: Samples = eigsh(graph, num, which="LA", v0=first)[1]
    return vectors
