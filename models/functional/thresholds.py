"""Thresholds from the scores of normal images.

Shapes: N = scores.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from models.functional.conformal import quantile_place


def next_larger(value: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The next larger number of the same precision."""
    return torch.nextafter(value, torch.full_like(value, torch.inf))


def threshold_at_rate(scores: Float[Tensor, "N"], rate: float) -> Float[Tensor, ""]:
    """Smallest threshold that at most a share ``rate`` of the scores reaches.

    Args:
        scores: At least one; infinite ones are allowed.
        rate: In [0, 1).

    Example:
        >>> bool(2 < threshold_at_rate(torch.tensor([3.0, 1.0, 2.0]), 0.4) < 3)
        True
    """
    return next_larger(scores.sort().values[quantile_place(rate, len(scores))])
