"""How good drawn images are: against real ones, in the features of a judge.

A judge is a classifier of real images. Its figures depend on it, so compare them only with those of
the same judge and the same number of images; none of them is comparable with a published FID.

Shapes: N M = images, D = features of the judge, K = its classes, P = pixels.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.spatial.distance import cdist

from models.functional.drift import frechet_distance as gaussian_distance


def frechet_distance(one: Float[ndarray, "N D"], other: Float[ndarray, "M D"]) -> float:
    """Squared Fréchet distance of two sets of features, as if both were Gaussian.

    On the penultimate layer of a classifier trained on the same kind of images this is the
    classifier-FID: >= 0, lower is better; its bias falls with the number of images.

    Args:
        one: Features of some images, more than one.
        other: Features of others.

    References:
        Heusel et al., 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
        Equilibrium", eq. 6. https://arxiv.org/abs/1706.08500
    """
    moments = []
    for part in (one, other):
        features = part.astype(np.float64)
        moments += [features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))]
    return gaussian_distance(*moments)


def inception_score(probabilities: Float[ndarray, "N K"]) -> float:
    """How sure the judge is of each image, and how much its classes differ: 1 to K, higher better.

    A repeated image, however clear, scores 1; see ``coverage`` for what it hides.

    References:
        Salimans et al., 2016, "Improved Techniques for Training GANs", section 4.
        https://arxiv.org/abs/1606.03498
    """
    shares = np.clip(probabilities.astype(np.float64), 1e-12, None)
    overall = shares.mean(axis=0)
    return float(np.exp((shares * np.log(shares / overall)).sum(axis=1).mean()))


class Coverage(NamedTuple):
    """How evenly images fall into classes.

    Attributes:
        smallest_share: Of the rarest class, from 0 to 1 / K; higher is better.
        divergence: KL divergence of the shares from even ones, in nats; 0 is even.
    """

    smallest_share: float
    divergence: float


def coverage(classes: Int[ndarray, "N"], num_classes: int) -> Coverage:
    """How evenly the judge's classes of some images cover all that there are."""
    shares = np.bincount(classes, minlength=num_classes) / len(classes)
    seen = shares[shares > 0]
    return Coverage(float(shares.min()), float((seen * np.log(seen * num_classes)).sum()))


class PrecisionRecall(NamedTuple):
    """Overlap of drawn and real images.

    Attributes:
        precision: Share of drawn images that lie among real ones.
        recall: Share of real images that lie among drawn ones.
    """

    precision: float
    recall: float


def precision_recall(
    real: Float[ndarray, "N D"], drawn: Float[ndarray, "M D"], num_neighbours: int = 3
) -> PrecisionRecall:
    """Share of each set that lies within reach of the other; both in [0, 1], higher is better.

    An image's reach is the distance to its k-th neighbour in its own set.

    Args:
        real: Features of real images, more than ``num_neighbours``.
        drawn: Features of drawn images, as many or so: the figures depend on both numbers.
        num_neighbours: k, >= 1.

    References:
        Kynkäänniemi et al., 2019, "Improved Precision and Recall Metric for Assessing Generative
        Models", eq. 1 and 2. https://arxiv.org/abs/1904.06991
    """
    across = cdist(real, drawn)
    reach_real, reach_drawn = (
        np.sort(cdist(part, part), axis=1)[:, num_neighbours] for part in (real, drawn)
    )
    return PrecisionRecall(
        precision=float((across <= reach_real[:, None]).any(axis=0).mean()),
        recall=float((across <= reach_drawn).any(axis=1).mean()),
    )


class Nearest(NamedTuple):
    """The most similar of some images, for each of others.

    Attributes:
        place: Its index among them. Shape (N,).
        distance: Euclidean. Shape (N,).
    """

    place: Int[ndarray, "N"]
    distance: Float[ndarray, "N"]


def nearest(images: Float[ndarray, "N P"], training: Float[ndarray, "M P"]) -> Nearest:
    """The training image most like each image.

    Drawn images that lie clearly nearer to training images than test images do are memorised.
    """
    found, distances = [], []
    for start in range(0, len(images), 256):  # a part at a time: all distances may not fit
        between = cdist(images[start : start + 256], training)
        found.append(between.argmin(axis=1))
        distances.append(between.min(axis=1))
    return Nearest(np.concatenate(found), np.concatenate(distances))
