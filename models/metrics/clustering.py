"""How well clusters agree with classes that they never saw; names of clusters do not matter.

Shapes: N = images, K = clusters, L = classes.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Shaped
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from models.errors import InvalidInputError
from models.metrics.bootstrap import Difference, resamples, summarized


class Confusion(NamedTuple):
    """Images by class and cluster, the clusters ordered by the best one-to-one map.

    Attributes:
        counts: Images of each class in each cluster. A cluster that is mapped to a class stands at
            that class's place; clusters without a class come last. Shape (L, K).
        classes: Name of each row, sorted. Length L.
        clusters: Number of each column's cluster; -1 where a class has none. Length max(L, K).
    """

    counts: NDArray[np.int64]
    classes: NDArray[np.generic]
    clusters: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """Share of images whose cluster is mapped to their class, in [0, 1]."""
        return float(np.trace(self.counts) / self.counts.sum())


def confusion(
    classes: Shaped[np.ndarray, "N"], clusters: Int[np.ndarray, "N"], num_clusters: int
) -> Confusion:
    """Confusion matrix under the one-to-one map with most images in the right cluster.

    Args:
        classes: Class of each image: numbers or names.
        clusters: Cluster of each image, in [0, num_clusters).
        num_clusters: Clusters K.

    Raises:
        InvalidInputError: If there is no image.

    References:
        Kuhn, 1955, "The Hungarian Method for the Assignment Problem".
    """
    _check(classes)
    names, rows = np.unique(classes, return_inverse=True)
    counts = np.zeros((len(names), num_clusters), dtype=np.int64)
    np.add.at(counts, (rows, clusters), 1)
    chosen_rows, chosen = linear_sum_assignment(counts, maximize=True)
    order = np.full(max(counts.shape), -1, dtype=np.int64)
    order[chosen_rows] = chosen
    order[len(names) :] = np.setdiff1d(np.arange(num_clusters), chosen)
    placed = np.zeros((len(names), len(order)), dtype=np.int64)
    placed[:, order >= 0] = counts[:, order[order >= 0]]
    return Confusion(placed, names, order)


def correct(
    classes: Shaped[np.ndarray, "N"], clusters: Int[np.ndarray, "N"], num_clusters: int
) -> Bool[np.ndarray, "N"]:
    """Which images lie in the cluster that the best map gives to their class."""
    found = confusion(classes, clusters, num_clusters)
    own = dict(zip(found.classes.tolist(), found.clusters.tolist(), strict=False))
    hits: NDArray[np.bool_] = np.array([own[name] for name in classes.tolist()]) == clusters
    return hits


def accuracy(
    classes: Shaped[np.ndarray, "N"], clusters: Int[np.ndarray, "N"], num_clusters: int
) -> float:
    """Share of images in the cluster of their class under the best one-to-one map, in [0, 1].

    Example:
        >>> accuracy(np.array(["a", "a", "b", "b"]), np.array([1, 1, 0, 1]), 2)
        0.75
    """
    return confusion(classes, clusters, num_clusters).accuracy


def normalized_mutual_information(
    classes: Shaped[np.ndarray, "N"], clusters: Int[np.ndarray, "N"]
) -> float:
    """What clusters tell of classes, over the arithmetic mean of both entropies, in [0, 1]."""
    _check(classes)
    return float(normalized_mutual_info_score(classes, clusters))


def adjusted_rand_index(classes: Shaped[np.ndarray, "N"], clusters: Int[np.ndarray, "N"]) -> float:
    """Agreement about pairs of images beyond chance: 0 by chance, 1 at best, can be negative."""
    _check(classes)
    return float(adjusted_rand_score(classes, clusters))


def accuracy_difference(
    champion: Bool[np.ndarray, "N"],
    challenger: Bool[np.ndarray, "N"],
    clips: Shaped[np.ndarray, "N"],
    *,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Paired bootstrap over clips of the difference of two accuracies on the same images.

    Each model's map from clusters to classes is the best on all images, and stays.

    Args:
        champion: Which images the one has in the right cluster, as ``correct`` says.
        challenger: The same of the other.
        clips: Name of each image's clip; for still images, one name each.
        confidence: Of the lower bound, in (0, 1).
        num_resamples: Draws, >= 1.
        seed: Of the draws.
    """
    weights = resamples(clips, num_resamples, seed).astype(np.float64)
    gains = challenger.astype(np.float64) - champion
    return summarized(weights @ gains / weights.sum(axis=1), confidence)


def _check(classes: NDArray[np.generic]) -> None:
    if not len(classes):
        raise InvalidInputError(
            "Clusters are compared with the classes of at least one image, got none. Add images "
            "to test/good-<class>."
        )
