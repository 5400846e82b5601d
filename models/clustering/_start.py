"""Where clusters start: a first partition of the embedding, and its centroids.

Shapes: N = images, D = embedding width, K = clusters.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor

from models.clustering._training import check_no_cluster_is_empty
from models.errors import TrainingError
from models.functional.spectral import spectral_clusters

RUNS = 20
"""Runs of k-means, of which the best one counts."""
PER_VIEW, ALONE = 5, 10
"""Links of an image for each of its views, and without views."""


def k_means(
    embedding: Float[Tensor, "N D"], num_clusters: int, *, seed: int
) -> tuple[Int[Tensor, "N"], Float[Tensor, "K D"]]:
    """Cluster of each image, and the centroid of each cluster.

    Raises:
        TrainingError: If there are fewer different images than clusters.
    """
    samples = _samples(embedding, num_clusters)
    found = KMeans(num_clusters, n_init=RUNS, random_state=seed)
    labels = found.fit_predict(samples).astype(np.int64)
    return torch.from_numpy(labels), torch.from_numpy(found.cluster_centers_).float()


def spectral(
    embedding: Float[Tensor, "N D"],
    views: Sequence[Float[Tensor, "N D"]],
    num_clusters: int,
    *,
    seed: int,
) -> tuple[Int[Tensor, "N"], Float[Tensor, "K D"]]:
    """The same by the graph of images that are nearest to each other's views, if there are any.

    Raises:
        TrainingError: If there are fewer different images than clusters, or a cluster is empty.
    """
    samples = _samples(embedding, num_clusters)
    labels = torch.from_numpy(
        spectral_clusters(
            samples,
            num_clusters,
            views=[view.double().numpy() for view in views],
            num_neighbours=PER_VIEW if views else ALONE,
            seed=seed,
        )
    )
    check_no_cluster_is_empty(labels, num_clusters)
    return labels, torch.stack([embedding[labels == k].mean(dim=0) for k in range(num_clusters)])


def _samples(embedding: Tensor, num_clusters: int) -> NDArray[np.float64]:
    distinct = len(torch.unique(embedding, dim=0))
    if distinct < num_clusters:
        raise TrainingError(
            f"{num_clusters} clusters need as many different images, got {distinct}. "
            "Lower num_clusters, or add images to train/good."
        )
    samples: NDArray[np.float64] = embedding.double().numpy()
    return samples
