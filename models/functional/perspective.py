"""Perspective: how much faster the same movement looks, the lower in the image it is.

Shapes: B = batch, h w = feature map.
"""

import torch
from jaxtyping import Float
from torch import Tensor

SMALLEST, LARGEST = 0.5, 2.0
"""Between which a row's scale lies, whatever the line says of rows where nothing moved."""


class RowSpeeds:
    """Mean speed in each row of a feature map, from images that arrive in parts, in float64.

    Means are weighed by speed itself, so that they are those of what moves, however little of the
    image that is.

    Example:
        >>> seen = RowSpeeds()
        >>> seen.update(torch.tensor([[[1.0, 1.0], [2.0, 0.0], [3.0, 3.0]]]))
        >>> origin, slope = seen.line().tolist()
        >>> round(origin, 3), round(slope, 3)  # 1 + 0.417 (row - 1.4) is the scale
        (1.4, 0.417)
    """

    def __init__(self) -> None:
        self._sums = torch.zeros(2, 0, dtype=torch.float64)

    def update(self, speeds: Float[Tensor, "B h w"]) -> None:
        """Take in the speeds, >= 0, of more images; all of one height."""
        found = torch.stack([speeds, speeds.square()]).double().sum(dim=(1, 3)).cpu()
        self._sums = found + self._sums if self._sums.numel() else found

    def line(self) -> Float[Tensor, "2"]:
        """Row in which the scale is 1, and how much it grows from one row to the next.

        The line is the weighted least squares fit to the mean speeds, divided by their mean. The
        slope is 0 where nothing moves, or only in one row.
        """
        weights, sums = self._sums
        total = weights.sum()
        if not total > 0:
            return torch.zeros(2, dtype=torch.float64)
        rows = torch.arange(len(weights), dtype=torch.float64)
        origin, mean = (weights * rows).sum() / total, sums.sum() / total
        offset = rows - origin
        spread = (weights * offset.square()).sum()
        slope = (offset * sums).sum() / (spread * mean) if spread > 0 else torch.zeros_like(origin)
        return torch.stack([origin, slope])


def row_scales(line: Float[Tensor, "2"], rows: int) -> Float[Tensor, "h"]:
    """How fast things look in each row, against the mean; in [0.5, 2].

    Args:
        line: As ``RowSpeeds.line`` returns it.
        rows: Number h of rows.

    Example:
        >>> row_scales(torch.tensor([2.0, 0.25]), 4).tolist()
        [0.5, 0.75, 1.0, 1.25]
    """
    origin, slope = line
    offset = torch.arange(rows, device=line.device) - origin
    scales: Tensor = 1 + slope * offset
    return scales.clamp(SMALLEST, LARGEST)
