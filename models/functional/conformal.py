"""Conformal p-values: how rare a score is among normal ones, with a guarantee.

Shapes: B = batch, N = calibration scores.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from models.errors import InvalidInputError


def p_values(scores: Float[Tensor, "B"], calibration: Float[Tensor, "N"]) -> Float[Tensor, "B"]:
    """Split-conformal p-value of each score, in (0, 1].

    ``(1 + #{calibration >= score}) / (N + 1)``. If the score and the calibration scores are
    exchangeable (all normal, drawn alike), then ``P(p <= a) <= a`` for every a. Frames of one clip
    resemble each other, so that across clips the guarantee holds only on average.

    Args:
        scores: Scores to judge; higher is more anomalous.
        calibration: Scores of held-out normal images, in any order.

    Raises:
        InvalidInputError: If there are no calibration scores, or any score is NaN.

    Example:
        >>> p_values(torch.tensor([0.0, 2.5]), torch.tensor([1.0, 2.0, 3.0])).tolist()
        [1.0, 0.5]

    References:
        Vovk, Gammerman and Shafer, 2005, "Algorithmic Learning in a Random World", section 2.2.
    """
    if not len(calibration):
        raise InvalidInputError("A p-value needs calibration scores, got none. Fit again.")
    if scores.isnan().any() or calibration.isnan().any():
        raise InvalidInputError("Scores must be numbers, got NaN. Check the images for NaN.")
    ordered = calibration.double().sort().values
    below = torch.searchsorted(ordered, scores.double().contiguous(), side="left")
    return (1 + len(ordered) - below).double() / (1 + len(ordered))
