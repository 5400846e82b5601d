"""Thresholds from normal scores.

Shapes: N = scores.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


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
