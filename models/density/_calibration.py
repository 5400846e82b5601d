"""What held-out normal images decide: the thresholds.

Shapes: N = images, B = batch, C = channels, H W = image.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from models.contracts import Scores
from models.errors import InvalidInputError, TrainingError
from models.functional.thresholds import exceeded_by


class Calibration(NamedTuple):
    """Scores of held-out normal images, and what follows from them.

    Attributes:
        scores: Image scores. Shape (N,).
        threshold: That at most the allowed share of the images reaches.
        pixel_threshold: That the map of at most the allowed share of the images reaches anywhere.
    """

    scores: Float[Tensor, "N"]
    threshold: Float[Tensor, ""]
    pixel_threshold: Float[Tensor, ""]


def held_out(batches: Iterable[Float[Tensor, "_ C H W"]]) -> list[Tensor]:
    """Calibration images, batch by batch.

    Raises:
        TrainingError: If there are none.
    """
    kept = [images for images in batches if len(images)]
    if not kept:
        raise TrainingError(
            "Thresholds need calibration images, got none. Raise calibration_share, or add normal "
            "images."
        )
    return kept


def calibrate(
    score: Callable[[Tensor], Scores], batches: list[Tensor], false_alarm_rate: float
) -> Calibration:
    """Score held-out normal images, and set both thresholds.

    Args:
        score: Gives scores with anomaly maps.
        batches: As ``held_out`` returns them.
        false_alarm_rate: Share of the images that may be called anomalous, in (0, 1).

    Raises:
        TrainingError: If the scores are not finite.
    """
    scores, highest = [], []
    for images in batches:
        found = score(images)
        assert found.anomaly_map is not None
        scores.append(found.image_score)
        highest.append(found.anomaly_map.amax(dim=(1, 2)))
    values = torch.cat(scores)
    if not values.isfinite().all():
        raise TrainingError(
            "Scores of calibration images must be finite, got NaN or infinity. Lower learning_rate."
        )
    return Calibration(
        values,
        exceeded_by(values, false_alarm_rate),
        exceeded_by(torch.cat(highest), false_alarm_rate),
    )


def check_size(images: Float[Tensor, "B C H W"], size: tuple[int, ...]) -> None:
    """Refuse images of which the likelihood is not comparable with that of the training images.

    Raises:
        InvalidInputError: If they are of another size.
    """
    if tuple(images.shape[1:]) != size:
        raise InvalidInputError(
            f"Images must be of channels and size {size}, got {tuple(images.shape[1:])}. Set "
            "image_size in the recipe."
        )
