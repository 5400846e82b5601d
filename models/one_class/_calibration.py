"""The distance up to which a place is settled as normal, from normal images.

Shapes: B = batch, h w = feature map.
"""

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor

from models.errors import TrainingError
from models.functional.reservoir import Reservoir
from models.functional.thresholds import exceeded_by

MOST_DISTANCES = 1_000_000
"""Distances from which the quantile is taken, drawn uniformly."""


def settling(
    distances: Iterable[Float[Tensor, "_ h w"]], settled: float, seed: int
) -> Float[Tensor, ""]:
    """Distance that a share ``settled`` of normal places does not exceed.

    Args:
        distances: Of every place of calibration images, in batches.
        settled: Share of places, in (0, 1).
        seed: Of the places that are drawn if they are too many.

    Raises:
        TrainingError: If there are none.
    """
    kept = Reservoir(MOST_DISTANCES, seed)
    for batch in distances:
        kept.update(batch.reshape(-1, 1))
    if not kept.num_seen:
        raise TrainingError(
            "Thresholds need calibration images, got none. Raise calibration_share, or add normal "
            "images."
        )
    return exceeded_by(kept.samples()[:, 0], 1 - settled)
