"""Raw: what a detector says of inputs, each by itself, before calibration images are asked.

Shapes: N = inputs, H W = map, K = clusters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class Raw:
    """What a detector says of inputs, each by itself: not yet compared with calibration images."""

    image_score: NDArray[np.float64]
    """Shape (N,)."""
    anomaly_map: NDArray[np.float32] | None
    """Shape (N, h, w), at the detector's own size or at that which ``at`` gave it."""
    soft_assignment: NDArray[np.float64] | None
    """Shape (N, K)."""

    def __getitem__(self, places: slice) -> "Raw":
        """Some of the inputs."""
        maps, assignments = self.anomaly_map, self.soft_assignment
        return Raw(
            image_score=self.image_score[places],
            anomaly_map=None if maps is None else maps[places],
            soft_assignment=None if assignments is None else assignments[places],
        )

    def at(self, size: tuple[int, ...] | None) -> "Raw":
        """With maps (N, H, W) of this size; without maps if it is None.

        Raises:
            InvalidInputError: If the detector does not localise.
        """
        if size is None:
            return replace(self, anomaly_map=None)
        if self.anomaly_map is None:
            raise InvalidInputError(
                "This detector scores whole images and makes no anomaly map. Ask without the map."
            )
        return replace(self, anomaly_map=scaled(self.anomaly_map, size))


def scaled(maps: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Maps (N, h, w) at another height and width: bilinear, not antialiased."""
    if maps.shape[1:] == tuple(size):
        return maps
    found = maps
    for axis in (1, 2):
        before, after = maps.shape[axis], size[axis - 1]
        place = ((np.arange(after) + 0.5) * (before / after) - 0.5).clip(0, before - 1)
        low = place.astype(np.intp)
        share = (place - low).astype(np.float32).reshape(-1, *[1] * (2 - axis))
        lower = found.take(low, axis=axis)
        above = found.take((low + 1).clip(max=before - 1), axis=axis)
        found = lower + (above - lower) * share
    return found


def together(parts: Sequence[Raw]) -> Raw:
    """The scores of all inputs of one request, in order."""
    if len(parts) == 1:
        return parts[0]
    maps = [part.anomaly_map for part in parts if part.anomaly_map is not None]
    assignments = [part.soft_assignment for part in parts if part.soft_assignment is not None]
    return Raw(
        image_score=np.concatenate([part.image_score for part in parts]),
        anomaly_map=np.concatenate(maps) if maps else None,
        soft_assignment=np.concatenate(assignments) if assignments else None,
    )
