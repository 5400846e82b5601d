"""Paired bootstrap over clips: is a challenger worse than a champion on the same images?

Shapes: N = images or frames, R = resamples.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from models.errors import InvalidInputError


class Difference(NamedTuple):
    """A figure of a challenger minus that of a champion, over bootstrap resamples.

    Attributes:
        mean: Mean difference; positive if the challenger is better.
        lower_bound: One-sided lower confidence bound of the difference.
        share_worse: Share of resamples in which the challenger is worse.
    """

    mean: float
    lower_bound: float
    share_worse: float


def resamples(
    clips: Shaped[np.ndarray, "N"], num_resamples: int, seed: int
) -> Int[np.ndarray, "R N"]:
    """How often each image counts in each resample.

    Whole clips are drawn, because frames of a clip resemble each other.

    Args:
        clips: Name of each image's clip; for still images, one name each.
        num_resamples: Draws R, >= 1.
        seed: Of the draws.

    References:
        Efron and Tibshirani, 1993, "An Introduction to the Bootstrap", chapters 8 and 13.
    """
    if num_resamples < 1:
        raise InvalidInputError(f"num_resamples must be >= 1, got {num_resamples}.")
    names, clip_of = np.unique(clips, return_inverse=True)
    draw = np.random.default_rng(seed)
    times = draw.multinomial(len(names), np.full(len(names), 1 / len(names)), num_resamples)
    weights: Int[np.ndarray, "R N"] = times[:, clip_of]
    return weights


def summarized(differences: Float[np.ndarray, "R"], confidence: float) -> Difference:
    """What the differences of all resamples say.

    Args:
        differences: Of the figure, one for each resample.
        confidence: Of the lower bound, in (0, 1).
    """
    if not 0 < confidence < 1:
        raise InvalidInputError(f"confidence must be in (0, 1), got {confidence}.")
    return Difference(
        mean=float(differences.mean()),
        lower_bound=float(np.quantile(differences, 1 - confidence)),
        share_worse=float((differences < 0).mean()),
    )
