"""Drift: whether what a detector is shown is still like what it learned.

In NumPy, so that a server needs no torch. What is wanted of SciPy is imported when it is needed,
because it takes a second.

Shapes: D = features, K = windows of normal frames, J = bins of p-values.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from models.errors import InvalidInputError
from models.functional.array_moments import ArrayMoments

DRIFT, NONE, UNKNOWN = "drift", "no drift", "not enough yet"
"""The verdicts."""
RATE = 0.005
"""Probability with which each of the two tests may call normal frames drift, at each look."""
FEWEST_WINDOWS = 3
"""Windows of normal frames from which their variation can be estimated at all."""


class Reference(NamedTuple):
    """``models.capabilities.Reference`` as arrays: the Gaussian of normal feature vectors."""

    mean: Float[ndarray, "D"]
    covariance: Float[ndarray, "D D"]
    whitener: Float[ndarray, "D D"]


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What the two tests of drift say together."""

    verdict: str
    """``drift``, ``no drift`` or ``not enough yet``."""
    why: str
    """The verdict's reason, a sentence for each test."""


def frechet_distance(
    mean: Float[ndarray, "D"],
    covariance: Float[ndarray, "D D"],
    other_mean: Float[ndarray, "D"],
    other_covariance: Float[ndarray, "D D"],
) -> float:
    """Squared Fréchet distance of two Gaussians: ``|m - n|^2 + tr(A + B - 2 (A^.5 B A^.5)^.5)``.

    It is >= 0, symmetric, in squared units of the features, and needs no inverse: covariances may
    be singular. The symmetric form has real eigenvalues, where the root of ``A B`` has only nearly
    real ones. Of sample moments it is biased upwards, the more the fewer the samples.

    Args:
        mean: Of one Gaussian.
        covariance: Symmetric, positive semi-definite.
        other_mean: Of the other.
        other_covariance: As ``covariance``.

    References:
        Dowson and Landau, 1982, "The Fréchet distance between multivariate normal distributions",
        eq. 16. https://doi.org/10.1016/0047-259X(82)90077-X

    Example:
        >>> one, two = np.ones(1), np.eye(1)
        >>> frechet_distance(one, two, one + 3, 4 * two)  # 3^2 + (1 - 2)^2
        10.0
    """
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    product = root @ other_covariance @ root
    between = np.sqrt(np.linalg.eigvalsh((product + product.T) / 2).clip(min=0)).sum()
    gap = np.square(mean - other_mean).sum()
    spread = covariance.trace() + other_covariance.trace() - 2 * between
    return max(float(gap + spread), 0.0)


def whitened_distance(
    mean: Float[ndarray, "D"],
    covariance: Float[ndarray, "D D"],
    reference_mean: Float[ndarray, "D"],
    reference_covariance: Float[ndarray, "D D"],
    whitener: Float[ndarray, "D D"],
) -> float:
    """Squared Fréchet distance to a reference in the units in which a detector measures distances.

    Features differ in scale, and without units of their own the one that varies most would decide
    alone. The part of the means is the squared Mahalanobis distance of the mean.

    Args:
        mean: Of what was seen.
        covariance: Of what was seen.
        reference_mean: Of what is normal.
        reference_covariance: Of what is normal.
        whitener: Matrix W for which ``|W (x - reference_mean)|`` is the distance of x.
    """
    gap = whitener @ (mean - reference_mean)
    seen, known = (whitener @ each @ whitener.T for each in (covariance, reference_covariance))
    return frechet_distance(gap, seen, np.zeros_like(gap), known)


def normal_limit(distances: Float[ndarray, "K"], rate: float = RATE) -> float:
    """Distance that one more window of normal frames exceeds with a probability of ``rate``.

    Student's prediction bound of the logarithms, which allows for how few they are, and at least
    the largest distance. Exact if the logarithms are independent and normal; the windows must be
    like the one to be judged: from clips of their own, and of no more frames, because distances
    are the larger the fewer the frames.

    Args:
        distances: Of K >= 3 windows, each from the frames of others.
        rate: In (0, 0.5).

    Raises:
        InvalidInputError: If there are too few.

    References:
        Hahn and Meeker, 1991, "Statistical Intervals", section 4.8.
    """
    from scipy.special import stdtrit

    num = len(distances)
    if num < FEWEST_WINDOWS:
        raise InvalidInputError(
            f"The normal variation needs {FEWEST_WINDOWS} windows of frames, got {num}. Fit with "
            "more normal clips."
        )
    logs = np.log(distances.clip(min=np.finfo(np.float64).tiny))
    reach = float(stdtrit(num - 1, 1 - rate)) * math.sqrt(1 + 1 / num)
    return float(max(np.exp(logs.mean() + reach * logs.std(ddof=1)), distances.max()))


def uniformity(
    counts: Float[ndarray, "J"], num_clips: float | int, num_calibration: int
) -> tuple[float, float]:
    """How far p-values are from uniform, and how rare that is for normal frames.

    The statistic is that of Kolmogorov and Smirnov over the bins, one-sided allowance for the steps
    of ``1 / (K + 1)`` in which conformal p-values come. Its own p-value holds if clips are drawn
    like the calibration clips: frames of a clip count as one observation together, and as K
    calibration clips stand behind the p-values, the effective number is that of two samples,
    ``m K / (m + K)``, however many frames are seen. It ignores that requests may follow each other
    in one and the same scene.

    Args:
        counts: Frames by p-value in J equal bins of (0, 1], whose upper ends belong to them.
        num_clips: Number m of clips (or still images) that they come from; effective ones if some
            are longer.
        num_calibration: Number K of calibration clips behind the p-values.

    Returns:
        The statistic in [0, 1], and its p-value.

    Raises:
        InvalidInputError: If there are no p-values.

    References:
        Kolmogorov, 1933; Smirnov, 1939; effective number as in Press et al., 2007, "Numerical
        Recipes", eq. 14.3.19.
    """
    from scipy.stats import kstwo

    if not counts.sum() > 0 or num_clips <= 0 or num_calibration < 1:
        raise InvalidInputError("A test of p-values needs some of them, got none.")
    bins = len(counts)
    share = (counts.cumsum() / counts.sum())[:-1]
    edges = np.arange(1, bins) / bins
    too_small = (share - edges).max()
    too_large = (edges - share).max() - 1 / (num_calibration + 1)
    statistic = float(max(too_small, too_large, 0.0))
    effective = num_clips * num_calibration / (num_clips + num_calibration)
    return statistic, float(kstwo.sf(statistic, max(int(effective), 1)))


def judge(
    *,
    num_frames: int,
    wanted: int,
    distance: float | None,
    limit: float | None,
    p_value: float,
    rate: float = RATE,
) -> Drift:
    """Call a window of frames drifted if either test does.

    For normal frames that happens with a probability of at most about ``2 * rate`` at each look, as
    far as the tests' assumptions hold. Frames with many anomalies are not normal: they drift too.

    Args:
        num_frames: Frames in the window.
        wanted: Frames below which nothing is said.
        distance: Squared Fréchet distance of the window, None if the detector has no Gaussian.
        limit: What ``distance`` may be.
        p_value: Of the test of uniformity.
        rate: Of each test.
    """
    if num_frames < wanted:
        return Drift(verdict=UNKNOWN, why=f"{num_frames} of {wanted} frames were seen.")
    rare, far = p_value < rate, False
    why = f"P-values are {'not ' * rare}as those of normal clips (probability {p_value:.2g})."
    if distance is not None and limit is not None:
        far = distance > limit
        relation = "above" if far else "within"
        why = (
            f"The Fréchet distance {distance:.3g} is {relation} the {limit:.3g} that normal clips "
            f"may reach. {why}"
        )
    return Drift(verdict=DRIFT if rare or far else NONE, why=why)


def reference_distance(seen: ArrayMoments, reference: Reference) -> float:
    """Squared Fréchet distance of samples from a reference, in the detector's units."""
    return whitened_distance(seen.mean, seen.scatter / seen.count, *reference)


def sampled_places(
    features: Float[ndarray, "B P D"], most: int, draw: np.random.Generator
) -> Float[ndarray, "N D"]:
    """Vectors at some places of each frame, drawn anew for each.

    Args:
        features: Of all places.
        most: Places of a frame that are drawn, if it has more.
        draw: Draws the places.
    """
    num, places, dim = features.shape
    if places <= most:
        return features.reshape(-1, dim)
    chosen = draw.integers(places, size=(num, most))
    return np.take_along_axis(features, chosen[..., None], axis=1).reshape(-1, dim)
