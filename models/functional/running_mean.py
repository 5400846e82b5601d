"""Means of scores over the frames just before.

Shapes: T = frames of a clip.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from models.errors import InvalidInputError


def running_mean(scores: Float[ndarray, "T"], num: int) -> Float[ndarray, "T"]:
    """Mean of each score and of those before it, ``num`` in all as far as there are so many.

    No score depends on a later one, so a live stream gets the same.

    Args:
        scores: Of the frames of one clip, in order.
        num: How many, >= 1; 1 changes nothing.

    Raises:
        InvalidInputError: If ``num`` is less than 1.

    Example:
        >>> running_mean(np.array([3.0, 1.0, 2.0]), 2).tolist()
        [3.0, 2.0, 1.5]
    """
    if num < 1:
        raise InvalidInputError(f"num must be at least 1, got {num}.")
    if num == 1:
        return scores
    summed = np.append(0.0, scores.astype(np.float64).cumsum())
    ends = np.arange(1, len(scores) + 1)
    starts = (ends - num).clip(min=0)
    found: Float[ndarray, "T"] = (summed[ends] - summed[starts]) / (ends - starts)
    return found.astype(scores.dtype)
