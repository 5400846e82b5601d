"""How well scores tell anomalous from normal: frames, pixels, and whether a challenger is worse.

Shapes: N = images or frames, T = frames of a clip, H W = image, P = points of a ROC curve.
A score decides by ``score >= threshold``.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from models.errors import InvalidInputError
from models.metrics.bootstrap import Difference, resamples, summarized

FOUND = 0.4
"""Share of its anomalous pixels that must be flagged for a frame to count as found (UCSD)."""


class Roc(NamedTuple):
    """Receiver operating characteristic, from the strictest threshold to the loosest.

    Attributes:
        false_positive_rate: Share of normal images called anomalous, ascending. Shape (P,).
        true_positive_rate: Share of anomalous images called anomalous, ascending. Shape (P,).
        thresholds: Scores from which an image is called anomalous; the first is infinite.
    """

    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    thresholds: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Area under the curve, in [0, 1]; 0.5 is chance."""
        return float(np.trapezoid(self.true_positive_rate, self.false_positive_rate))

    @property
    def equal_error_rate(self) -> float:
        """Share of errors, in [0, 1], where misses and false alarms are equally frequent."""
        gap = self.false_positive_rate - (1 - self.true_positive_rate)
        after = int(np.argmax(gap >= 0))
        if after == 0 or gap[after] == 0:
            return float(self.false_positive_rate[after])
        part = gap[after - 1] / (gap[after - 1] - gap[after])
        before = self.false_positive_rate[after - 1]
        return float(before + part * (self.false_positive_rate[after] - before))


def roc(anomalous: Bool[np.ndarray, "N"], scores: Float[np.ndarray, "N"]) -> Roc:
    """ROC curve of image scores; every distinct score is a threshold.

    Raises:
        InvalidInputError: If one kind of image is missing, or a score is NaN.
    """
    _check(anomalous, scores)
    return Roc(*roc_curve(anomalous, scores, drop_intermediate=False))


def auc(anomalous: Bool[np.ndarray, "N"], scores: Float[np.ndarray, "N"]) -> float:
    """Area under the ROC curve: chance that an anomalous image scores above a normal one.

    Raises:
        InvalidInputError: If one kind of image is missing, or a score is NaN.
    """
    _check(anomalous, scores)
    return float(roc_auc_score(anomalous, scores))


def equal_error_rate(anomalous: Bool[np.ndarray, "N"], scores: Float[np.ndarray, "N"]) -> float:
    """Share of errors, in [0, 1], at the threshold where misses and false alarms balance."""
    return roc(anomalous, scores).equal_error_rate


def false_alarm_rate(
    anomalous: Bool[np.ndarray, "N"], scores: Float[np.ndarray, "N"], threshold: float
) -> float:
    """Share of normal images that score ``threshold`` or more; NaN if there are none."""
    normal = scores[~anomalous]
    return float((normal >= threshold).mean()) if len(normal) else math.nan


def pixel_level_scores(
    anomaly_maps: Float[np.ndarray, "T H W"], masks: Bool[np.ndarray, "T H W"] | None
) -> Float[np.ndarray, "T"]:
    """One number for each frame that settles the pixel-level criterion at every threshold.

    For a frame with anomalous pixels, the largest threshold at which ``FOUND`` of them are flagged:
    only from there down the frame counts as found. For a normal frame, the largest value of its
    map: from there down it is a false alarm. So ``roc(anomalous, pixel_level_scores)`` is the
    pixel-level ROC curve, and clips can be measured one after another without keeping their maps.

    Args:
        anomaly_maps: Of the frames of one clip.
        masks: Anomalous pixels; None if no frame has any.

    References:
        Mahadevan et al., 2010, "Anomaly detection in crowded scenes", section 5.
    """
    flat = anomaly_maps.reshape(len(anomaly_maps), -1)
    scores: NDArray[np.float64] = flat.max(axis=1).astype(np.float64)
    if masks is None:
        return scores
    for frame, mask in enumerate(masks.reshape(len(masks), -1)):
        if inside := int(mask.sum()):
            needed = math.ceil(FOUND * inside)
            scores[frame] = np.partition(flat[frame][mask], inside - needed)[inside - needed]
    return scores


class PixelRoc:
    """AUROC over all pixels of many images, in constant memory.

    Counts are kept for 2^20 intervals of values that follow each other like floating point numbers,
    each relatively about 2^-11 wide; ties within an interval count half.

    Example:
        >>> pixels = PixelRoc()
        >>> mask = np.array([[[False, True]]])
        >>> pixels.update(np.array([[[0.1, 0.9]]], dtype=np.float32), mask)
        >>> pixels.auroc()
        1.0
    """

    BITS = 20

    def __init__(self) -> None:
        self._counts = np.zeros((2, 1 << self.BITS), dtype=np.int64)

    def update(
        self, anomaly_maps: Float[np.ndarray, "T H W"], masks: Bool[np.ndarray, "T H W"] | None
    ) -> None:
        """Take in more maps; without masks all their pixels are normal."""
        bits = np.ascontiguousarray(anomaly_maps, dtype=np.float32).reshape(-1).view(np.int32)
        ordered = np.where(bits < 0, ~bits, bits | np.int32(-(2**31))).view(np.uint32)
        bins = (ordered >> np.uint32(32 - self.BITS)).astype(np.int64)
        inside = np.zeros(len(bins), bool) if masks is None else masks.reshape(-1)
        for kind in (False, True):
            self._counts[int(kind)] += np.bincount(bins[inside == kind], minlength=1 << self.BITS)

    def merge(self, other: "PixelRoc") -> None:
        """Take in the maps that another has seen."""
        self._counts += other._counts  # noqa: SLF001 - its own kind

    def auroc(self) -> float:
        """Chance that an anomalous pixel scores above a normal one; NaN if a kind is missing."""
        normal, anomalous = self._counts.astype(np.float64)
        if not normal.sum() or not anomalous.sum():
            return math.nan
        below = np.cumsum(normal) - normal / 2
        return float((anomalous * below).sum() / (normal.sum() * anomalous.sum()))


def auc_difference(
    anomalous: Bool[np.ndarray, "N"],
    champion: Float[np.ndarray, "N"],
    challenger: Float[np.ndarray, "N"],
    clips: Shaped[np.ndarray, "N"],
    *,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Paired bootstrap over clips of the difference of two AUCs on the same images.

    Whole clips are drawn, because frames of a clip resemble each other; both models see the same
    draws. Draws without both kinds of image are left out.

    Args:
        anomalous: Truth.
        champion: Scores of the one.
        challenger: Scores of the other.
        clips: Name of each image's clip; for still images, one name each.
        confidence: Of the lower bound, in (0, 1).
        num_resamples: Draws, >= 1.
        seed: Of the draws.

    Raises:
        InvalidInputError: If one kind of image is missing, or a score is NaN.

    References:
        Efron and Tibshirani, 1993, "An Introduction to the Bootstrap", chapters 8 and 13.
    """
    _check(anomalous, champion)
    _check(anomalous, challenger)
    weights = _draws(anomalous, clips, num_resamples, seed)
    difference = _weighted_auc(anomalous, challenger, weights) - _weighted_auc(
        anomalous, champion, weights
    )
    return summarized(difference, confidence)


def auc_interval(
    anomalous: Bool[np.ndarray, "N"],
    scores: Float[np.ndarray, "N"],
    clips: Shaped[np.ndarray, "N"],
    *,
    confidence: float = 0.95,
    num_resamples: int = 500,
    seed: int = 0,
) -> tuple[float, float]:
    """Two-sided percentile interval of an AUC, by drawing whole clips; see ``auc_difference``.

    Args:
        anomalous: Truth.
        scores: Higher is more anomalous.
        clips: Name of each image's clip; for still images, one name each.
        confidence: In (0, 1).
        num_resamples: Draws, >= 1.
        seed: Of the draws.

    Raises:
        InvalidInputError: If one kind of image is missing, or a score is NaN.

    References:
        Efron and Tibshirani, 1993, "An Introduction to the Bootstrap", chapter 13.
    """
    _check(anomalous, scores)
    found = _weighted_auc(anomalous, scores, _draws(anomalous, clips, num_resamples, seed))
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _draws(
    anomalous: NDArray[np.bool_], clips: NDArray[np.generic], num_resamples: int, seed: int
) -> NDArray[np.integer]:
    """How often each image counts, in draws that have both kinds of image."""
    weights = resamples(clips, num_resamples, seed)
    both = (weights[:, anomalous].sum(axis=1) > 0) & (weights[:, ~anomalous].sum(axis=1) > 0)
    chosen: NDArray[np.integer] = weights[both]
    return chosen


def _weighted_auc(
    anomalous: NDArray[np.bool_], scores: NDArray[np.floating], weights: NDArray[np.integer]
) -> NDArray[np.float64]:
    """AUC for each row of weights; ties between the kinds count half."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    result = np.empty(len(weights))
    for row, weight in enumerate(weights):
        ordered = weight[order].astype(np.float64)
        positive = np.add.reduceat(ordered * anomalous[order], starts)
        negative = np.add.reduceat(ordered * ~anomalous[order], starts)
        below = np.cumsum(negative) - negative / 2
        result[row] = (positive * below).sum() / (positive.sum() * negative.sum())
    return result


def _check(anomalous: NDArray[np.bool_], scores: NDArray[np.floating]) -> None:
    if anomalous.all() or not anomalous.any():
        raise InvalidInputError(
            f"A ROC curve needs normal and anomalous images, got {int(anomalous.sum())} anomalous "
            f"of {len(anomalous)}. Add the missing kind to the test split."
        )
    if np.isnan(scores).any():
        raise InvalidInputError("Scores must be numbers, got NaN. Check the images for NaN.")
