"""Greedy coreset: the points that leave no other point far away.

Shapes: N = points, D = features, M = chosen, K = candidates.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.errors import InvalidInputError

CANDIDATES = 2048
"""Farthest points among which is chosen before all distances are brought up to date."""
AT_ONCE = 1 << 22
"""Most distances that are held in memory at once: what a processor's cache holds."""

COPIES = 1e-6
"""Squared distance, against that to the origin, below which points are copies to rounding."""


def greedy_coreset(points: Float[Tensor, "N D"], num: int) -> Int[Tensor, "M"]:
    """Choose points one by one, each the farthest from those chosen before (k-center).

    The first is the farthest from the mean, so that nothing is drawn. Chosen are exactly the points
    that the plain loop over N finds, to rounding; but that loop reads all points for each choice,
    and this one reads them once for many: distances to the nearest chosen point only ever fall, so
    the farthest of K candidates is the farthest of all for as long as it is no nearer than any
    point that is not among them was before. What is left is a product of matrices.

    Args:
        points: Of them is chosen.
        num: How many, >= 1; fewer if all others are copies of chosen ones.

    Returns:
        Their numbers, in the order of choice: each start of the list is a coreset itself.

    Raises:
        InvalidInputError: If there are no points, or ``num`` is less than 1.

    References:
        Gonzalez, 1985, "Clustering to minimize the maximum intercluster distance".
        https://doi.org/10.1016/0304-3975(85)90224-5
        Roth et al., 2022, "Towards Total Recall in Industrial Anomaly Detection", algorithm 1.
        https://arxiv.org/abs/2106.08265
    """
    if num < 1 or not len(points):
        raise InvalidInputError(
            f"A coreset needs at least 1 of at least 1 points, got {num} of {len(points)}."
        )
    squares = points.square().sum(dim=1)
    from_mean = (points - points.mean(dim=0)).square().sum(dim=1)
    chosen = from_mean.argmax()[None]
    nearest = torch.full_like(squares, torch.inf)
    new = chosen
    while len(chosen) < num:
        _approach(points, squares, new, nearest)
        new = _farthest(points, nearest, num - len(chosen))
        if not len(new):
            break
        chosen = torch.cat([chosen, new])
    return chosen


def _farthest(
    points: Float[Tensor, "N D"], nearest: Float[Tensor, "N"], num: int
) -> Int[Tensor, "M"]:
    """The next choices, as far as they can be told from the farthest points alone."""
    most = min(CANDIDATES, len(points))
    values, candidates = nearest.topk(most)
    least = float(values[-1]) if most < len(points) else 0.0
    near = points[candidates]
    between = torch.cdist(near, near).square_().cpu().numpy()
    left = values.cpu().numpy().copy()
    found: list[int] = []
    while len(found) < num:
        farthest = int(left.argmax())
        if left[farthest] <= 0 or (found and left[farthest] < least):
            break
        found.append(farthest)
        left = left.clip(max=between[farthest])
        left[farthest] = 0  # the distance of a point to itself, free of rounding
    return candidates[torch.tensor(found, dtype=torch.long, device=candidates.device)]


def _approach(
    points: Float[Tensor, "N D"],
    squares: Float[Tensor, "N"],
    new: Int[Tensor, "M"],
    nearest: Float[Tensor, "N"],
) -> None:
    """Bring squared distances to the nearest chosen point up to date, in place."""
    centres, shift = points[new].mT.contiguous(), squares[new][None]
    step = max(AT_ONCE // len(new), 1)
    for start in range(0, len(points), step):
        here = slice(start, start + step)
        apart = torch.addmm(shift, points[here], centres, alpha=-2).amin(dim=1) + squares[here]
        apart[apart < COPIES * squares[here]] = 0
        nearest[here] = torch.minimum(nearest[here], apart)
    nearest[new] = 0
