"""Thresholds from normal scores.

Shapes: N = scores.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MARGIN = 0.01
"""How far from 1 a score is moved that disagrees with its decision."""


def above(value: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The next larger number of the same precision."""
    return torch.nextafter(value, torch.full_like(value, torch.inf))


def exceeded_by(scores: Float[Tensor, "N"], share: float) -> Float[Tensor, ""]:
    """Smallest threshold that at most ``share`` of the scores reach.

    Args:
        scores: At least one; infinite ones are allowed.
        share: In [0, 1).

    Example:
        >>> bool(2 < exceeded_by(torch.tensor([3.0, 1.0, 2.0]), 0.4) < 3)
        True
    """
    ordered = scores.sort().values
    return above(ordered[max(math.ceil((1 - share) * len(ordered)), 1) - 1])


def agreeing(score: Float[Tensor, "*N"], rejected: Bool[Tensor, "*N"]) -> Float[Tensor, "*N"]:
    """Scores >= 0 that are at least 1 exactly where ``rejected``, in unchanged order on each side.

    A score that agrees moves by 1% at most; one that does not comes to lie next to 1.

    Example:
        >>> agreeing(torch.tensor([0.5, 2.0, 0.5]), torch.tensor([False, True, True]))
        tensor([0.4950, 2.0100, 1.0050])
    """
    high = torch.where(score < 1, 1 + MARGIN * score, score + MARGIN)
    low = torch.where(score < 1, score * (1 - MARGIN), 1 - MARGIN / score.clamp(1, 1e4))
    return torch.where(rejected, high, low)
