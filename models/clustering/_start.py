"""Where clusters start: a first partition of the embedding, and its centroids.

Shapes: N = images, D = embedding width, P = width of what is compared, K = clusters.
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
    samples: Float[Tensor, "N P"],
    views: Sequence[Float[Tensor, "N P"]],
    num_clusters: int,
    *,
    seed: int,
) -> tuple[Int[Tensor, "N"], Float[Tensor, "K D"]]:
    """The same by the graph of images that are nearest to each other or to each other's views.

    Args:
        embedding: Where the centroids are.
        samples: What is compared: the images themselves, which have lost nothing yet.
        views: The same of changed copies of the images, in the same order.
        num_clusters: Clusters K.
        seed: Of the graph's eigenvectors and of k-means.

    Raises:
        TrainingError: If there are fewer different images than clusters, or a cluster is empty.
    """
    compared = [view.double().numpy() for view in views]
    different = _samples(samples, num_clusters)
    labels = torch.from_numpy(spectral_clusters(different, num_clusters, views=compared, seed=seed))
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
