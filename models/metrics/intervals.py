"""Confidence intervals of rates that were counted, also where the counts come in clusters.

Shapes: N = observations.
"""

import math

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError


def clopper_pearson(
    num_hits: int | float, num_total: int | float, confidence: float = 0.95
) -> tuple[float, float]:
    """Exact interval of a binomial rate: it covers the rate with at least this confidence.

    Args:
        num_hits: Observations that count, in [0, num_total].
        num_total: Independent observations; a fraction stands for an effective number.
        confidence: In (0, 1).

    Raises:
        InvalidInputError: If a number is out of range.

    References:
        Clopper and Pearson, 1934. https://doi.org/10.1093/biomet/26.4.404
    """
    from scipy.special import betaincinv  # who starts a server waits for imports

    if not 0 <= num_hits <= num_total or not num_total or not 0 < confidence < 1:
        raise InvalidInputError(
            "An interval needs 0 <= num_hits <= num_total > 0 and confidence in (0, 1), got "
            f"{num_hits}, {num_total} and {confidence}."
        )
    tail = (1 - confidence) / 2
    low = float(betaincinv(num_hits, num_total - num_hits + 1, tail)) if num_hits else 0.0
    high = 1.0
    if num_hits < num_total:
        high = float(betaincinv(num_hits + 1, num_total - num_hits, 1 - tail))
    return low, high


def clustered_interval(
    hits: NDArray[np.bool_], clusters: NDArray[np.generic], confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the rate of hits among observations that are alike within clusters.

    That of Clopper and Pearson at the effective number of observations: the number that, drawn
    independently, would tell as much about the rate, by the spread between clusters. It is never
    more than there are. With a single cluster nothing is known: (0, 1).

    Args:
        hits: Which observations count. Shape (N,).
        clusters: Cluster of each, such as its clip. Shape (N,).
        confidence: In (0, 1).

    References:
        Korn and Graubard, 1998, "Confidence intervals for proportions with small expected number
        of positive counts estimated from survey data". Survey Methodology 24, section 2.
    """
    from scipy.special import stdtrit

    _, members, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    num, num_clusters = len(hits), len(sizes)
    if num_clusters < 2:
        return 0.0, 1.0
    rate = float(np.mean(hits))
    if 0 < rate < 1:
        totals = np.bincount(members, weights=hits.astype(np.float64))
        spread = float(((totals - rate * sizes) ** 2).sum()) * num_clusters / (num_clusters - 1)
        effective = rate * (1 - rate) * num**2 / spread if spread else math.inf
        tail = 1 - (1 - confidence) / 2
        heavier = stdtrit(num - 1, tail) / stdtrit(num_clusters - 1, tail)
        effective = min(effective * float(heavier) ** 2, num)
    else:  # no spread to be seen: frames of one clip may be copies of each other
        effective = num_clusters
    return clopper_pearson(rate * effective, effective, confidence)
