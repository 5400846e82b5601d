"""Conformal p-values: how rare a score is among normal ones, with a guarantee.

In NumPy, so that a server needs no torch, and because it is quicker for a few scores.

Shapes: B = batch, N = calibration scores, T = frames of a clip, K = calibration clips.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from numpy.lib.stride_tricks import sliding_window_view

from models.errors import InvalidInputError


@dataclass(frozen=True)
class Tails:
    """Calibration scores made ready, so that a p-value takes no more than a look-up."""

    ordered: Float[ndarray, "N"]
    """Ascending."""
    evidence: Float[ndarray, "M"]
    """At each of the M = N + 1 places that a score may take among them: the sum over calibration
    clips of the share of their scores that are not below it."""
    num_clips: int

    def p_values(self, scores: Float[ndarray, "B"]) -> Float[ndarray, "B"]:
        """See ``p_values``.

        Raises:
            InvalidInputError: If any score is NaN.
        """
        _check_numbers(np.isnan(scores).any())
        evidence = self.evidence[self.ordered.searchsorted(scores, side="left")]
        found: Float[ndarray, "B"] = (1 + evidence).clip(max=self.num_clips + 1)
        return found / (1 + self.num_clips)


def tails(calibration: Float[ndarray, "N"], clips: Int[ndarray, "N"] | None = None) -> Tails:
    """Make calibration scores ready; arguments and errors are those of ``p_values``."""
    if not len(calibration):
        raise InvalidInputError("A p-value needs calibration scores, got none. Fit again.")
    _check_numbers(np.isnan(calibration).any())
    weights, order = _weights(calibration, clips), np.argsort(calibration, kind="stable")
    evidence = np.append(weights[order][::-1].cumsum()[::-1], 0.0)
    ordered = calibration[order].astype(np.float64)
    return Tails(ordered, evidence, round(float(weights.sum())))


def p_values(
    scores: Float[ndarray, "B"],
    calibration: Float[ndarray, "N"],
    clips: Int[ndarray, "N"] | None = None,
) -> Float[ndarray, "B"]:
    """Split-conformal p-value of each score, in (0, 1].

    ``(1 + sum over calibration clips of the share of their scores that are >= score) / (K + 1)``,
    where without ``clips`` each calibration score is a clip of its own. If the clip that a score
    comes from and the calibration clips are exchangeable (all normal, drawn alike), then
    ``P(p <= a) <= a`` for every a, for a frame taken at random from that clip. However alike the
    frames of one clip are, K clips count as K: no p-value is below ``1 / (K + 1)``.

    Args:
        scores: Scores to judge; higher is more anomalous.
        calibration: Scores of held-out normal images, in any order.
        clips: Which clip each of them is from.

    Raises:
        InvalidInputError: If there are no calibration scores, or any score is NaN.

    Example:
        >>> p_values(np.array([0.0, 2.5]), np.array([1.0, 2.0, 3.0])).tolist()
        [1.0, 0.5]

    References:
        Vovk, Gammerman and Shafer, 2005, "Algorithmic Learning in a Random World", section 2.2.
        Lee, Barber and Willett, 2023, "Distribution-free inference with hierarchical data",
        section 3. https://arxiv.org/abs/2306.06342
    """
    return tails(calibration, clips).p_values(scores.astype(np.float64))


def smallest_p_value(num_clips: int) -> float:
    """The least p-value that this many calibration clips can give: ``1 / (K + 1)``."""
    return 1 / (num_clips + 1)


def threshold_at(
    rate: float, calibration: Float[ndarray, "N"], clips: Int[ndarray, "N"] | None = None
) -> float:
    """Smallest score whose p-value is at most ``rate``.

    Args:
        rate: Wanted false-alarm rate, in (0, 1).
        calibration: As in ``p_values``.
        clips: As in ``p_values``.

    Raises:
        InvalidInputError: If the rate is out of range, or too few clips can vouch for it.
    """
    if not 0 < rate < 1:
        raise InvalidInputError(f"A false-alarm rate must be in (0, 1), got {rate}.")
    num_clips = round(float(_weights(calibration, clips).sum()))
    if smallest_p_value(num_clips) > rate:
        needed = next(k for k in range(num_clips, 10**9) if smallest_p_value(k) <= rate)
        raise InvalidInputError(
            f"A false-alarm rate of {rate} needs {needed} calibration clips, and there are "
            f"{num_clips}, which can vouch for {smallest_p_value(num_clips):.3g} at best. Choose "
            "a higher rate, or fit with more normal clips or a larger calibration_share."
        )
    ordered = np.unique(calibration.astype(np.float64))
    too_common = ordered[p_values(ordered, calibration, clips) > rate]
    return float(np.nextafter(too_common[-1], np.inf)) if len(too_common) else -math.inf


def clip_p_value(
    scores: Float[ndarray, "T"], calibration: Float[ndarray, "N"], clips: Int[ndarray, "N"]
) -> float:
    """P-value of a whole clip, from its largest score; in (0, 1].

    The largest of many scores is large by itself, so it is compared with the largest of equally
    many consecutive frames of each calibration clip. A clip that is longer than the shortest of
    them is cut into blocks of that length, and the least p-value is multiplied by their number
    (Bonferroni), which holds however the blocks depend on each other.

    Args:
        scores: Of the frames of one clip, in order.
        calibration: Of calibration clips, each in order.
        clips: Which clip each of them is from.

    Raises:
        InvalidInputError: If there are no scores, or any is NaN.
    """
    _check_numbers(np.isnan(scores).any() or np.isnan(calibration).any())
    if not len(scores):
        raise InvalidInputError("A clip must have at least one scored frame, got none.")
    members = [calibration[clips == clip].astype(np.float64) for clip in np.unique(clips)]
    size, known = min(map(len, members)), scores.astype(np.float64)
    blocks = [known[start : start + size] for start in range(0, len(known), size)]
    least = min(_block_p_value(block, members) for block in blocks)
    return min(1.0, least * len(blocks))


def discovery_q_values(p_values: Float[ndarray, "B"], *, dependent: bool) -> Float[ndarray, "B"]:
    """Least false-discovery rate at which each p-value would be called a discovery, in (0, 1].

    Calling all with ``q <= a`` keeps the expected share of false alarms among the alarms at most a.

    Args:
        p_values: Of the frames, regions or clips that are judged together.
        dependent: They may depend on each other in any way, as frames of one clip do
            (Benjamini-Yekutieli); else independent given the calibration scores, as separate clips
            are (Benjamini-Hochberg; Bates et al., 2023, show that shared calibration is no harm).

    References:
        Benjamini and Hochberg, 1995. https://doi.org/10.1111/j.2517-6161.1995.tb02031.x
        Benjamini and Yekutieli, 2001. https://doi.org/10.1214/aos/1013699998
        Bates, Candes, Lei, Romano and Sesia, 2023, "Testing for outliers with conformal p-values".
        https://doi.org/10.1214/22-AOS2244
    """
    num = len(p_values)
    if num == 1:
        return p_values.astype(np.float64)
    ranks, order = np.arange(1.0, num + 1), np.argsort(p_values, kind="stable")
    factor = float((1 / ranks).sum()) if dependent else 1.0
    adjusted = p_values[order] * num * factor / ranks
    found = np.empty(num)
    found[order] = np.minimum.accumulate(adjusted[::-1])[::-1].clip(max=1)
    return found


def rates_on_left_out_clips(
    calibration: Float[ndarray, "N"], clips: Int[ndarray, "N"], share: float
) -> Float[ndarray, "K"]:
    """Share of each calibration clip above a threshold that the other clips set.

    It tells what a threshold that a ``share`` of the calibration frames exceeds means for the
    frames of a clip that it has not seen; with few clips that is more, because frames of one clip
    resemble each other. Empty for a single clip.

    Args:
        calibration: Scores of calibration clips.
        clips: Which clip each of them is from.
        share: Of frames that may reach the threshold, in [0, 1).
    """
    found = [
        (calibration[clips == clip] >= quantile_threshold(calibration[clips != clip], share)).mean()
        for clip in np.unique(clips)
        if (clips != clip).any()
    ]
    return np.array(found, dtype=np.float64)


def quantile_threshold(scores: Float[ndarray, "N"], share: float) -> np.floating[Any]:
    """Smallest threshold, in the precision of the scores, that at most a share of them reaches.

    Args:
        scores: At least one; infinite ones are allowed.
        share: In [0, 1).

    Example:
        >>> bool(2 < quantile_threshold(np.array([3.0, 1.0, 2.0]), 0.4) < 2 + 1e-9)
        True
    """
    found: np.floating[Any] = np.nextafter(
        np.sort(scores)[quantile_place(share, len(scores))], np.inf
    )
    return found


def quantile_place(share: float, num: int) -> int:
    """Place, among so many scores in rising order, above which at most a share of them lies."""
    return max(math.ceil((1 - share) * num), 1) - 1


def _block_p_value(block: ndarray, members: list[ndarray]) -> float:
    peak, num = block.max(), len(block)
    shares = [(sliding_window_view(clip, num).max(axis=1) >= peak).mean() for clip in members]
    return float((1 + sum(shares)) / (len(members) + 1))


def _weights(calibration: ndarray, clips: ndarray | None) -> Float[ndarray, "N"]:
    """Weight of each score: all of one clip weigh 1 together."""
    if clips is None:
        return np.ones(len(calibration))
    _, inverse, counts = np.unique(clips, return_inverse=True, return_counts=True)
    weights: ndarray = 1 / counts[inverse]
    return weights


def _check_numbers(nan: Any) -> None:
    if nan:
        raise InvalidInputError("Scores must be numbers, got NaN. Check the images for NaN.")
