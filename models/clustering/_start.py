"""Where clusters start: a first partition of the embedding, and its centroids.

Shapes: N = images, D = embedding width, K = clusters.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from torch import Tensor

from models.clustering._training import check_no_cluster_is_empty
from models.errors import TrainingError
from models.functional.spectral import spectral_clusters

RUNS = 20
"""Runs of k-means, of which the best one counts."""


def first_clusters(
    embedding: Float[Tensor, "N D"], num_clusters: int, start: str, *, seed: int
) -> tuple[Int[Tensor, "N"], Float[Tensor, "K D"]]:
    """Cluster of each image, and the centroid of each cluster.

    Args:
        embedding: Of the images.
        num_clusters: Clusters K, >= 2.
        start: How they are found; one of ``STARTS`` of the schedule.
        seed: Of k-means and of spectral clustering.

    Raises:
        TrainingError: If there are fewer different images than clusters, or a cluster is empty.
    """
    distinct = len(torch.unique(embedding, dim=0))
    if distinct < num_clusters:
        raise TrainingError(
            f"{num_clusters} clusters need as many different images, got {distinct}. "
            "Lower num_clusters, or add images to train/good."
        )
    samples = embedding.double().numpy()
    if start == "k-means":
        found = KMeans(num_clusters, n_init=RUNS, random_state=seed)
        labels = found.fit_predict(samples).astype(np.int64)
        centroids = found.cluster_centers_
    else:
        labels = spectral_clusters(samples, num_clusters, seed=seed)
        check_no_cluster_is_empty(torch.from_numpy(labels), num_clusters)
        parts = [samples[labels == cluster] for cluster in range(num_clusters)]
        centroids = np.stack([part.mean(axis=0) for part in parts])
    return torch.from_numpy(labels), torch.from_numpy(centroids).float()
