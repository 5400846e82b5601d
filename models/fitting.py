"""What all detectors do alike: freeze the encoder, refuse to score before ``fit``, set thresholds.

Functions that a detector is composed of; it inherits from ``nn.Module`` alone.

Shapes: B = batch, C = channels, H W = image, N = scores.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from models.contracts import Encoder, Progress, Scores, shown
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, NotFittedError, TrainingError
from models.functional.thresholds import threshold_at_rate
from models.training import cpu

E = TypeVar("E", bound=Encoder)


def frozen(encoder: E) -> E:
    """An encoder in evaluation mode, without gradients."""
    encoder.eval().requires_grad_(False)
    return encoder


def learned(module: nn.Module, **shapes: tuple[int, ...]) -> None:
    """Register buffers of these shapes, in float64 and NaN until they are learned."""
    for name, shape in shapes.items():
        module.register_buffer(name, torch.full(shape, torch.nan, dtype=torch.float64))


def begin(detector: nn.Module, threshold: Tensor, fabric: Fabric | None) -> Fabric:
    """Begin a fit: forget the threshold, so that a fit that fails leaves nothing half-fitted.

    Returns:
        The fabric, on whose device the detector is from now on; the CPU in float32 if None.
    """
    threshold.fill_(torch.nan)
    fabric = fabric or cpu()
    detector.eval().to(fabric.device)
    return fabric


def value_of(threshold: Float[Tensor, ""], detector: nn.Module) -> float:
    """A threshold as a number.

    Raises:
        NotFittedError: If it is not set.
    """
    check_fitted(threshold, detector)
    return float(threshold)


def check_fitted(threshold: Float[Tensor, ""], detector: nn.Module) -> None:
    """Refuse a detector whose threshold is not set; put one that is into evaluation mode.

    Raises:
        NotFittedError: If it is not.
    """
    if detector.training:
        detector.eval()
    if threshold.isnan():
        name = type(detector).__name__
        raise NotFittedError(f"{name} is not fitted. Call fit(batches, calibration) first.")


def statistics_of(detector: nn.Module) -> dict[str, Tensor]:
    """All buffers that were learned, by name without the trailing underscore, float64."""
    own = detector.named_buffers(recurse=False)
    return {name.rstrip("_"): value.double() for name, value in own if name.endswith("_")}


@torch.no_grad()
def calibration_scores(
    score: Callable[[Tensor], Scores],
    calibration: Iterable[Float[Tensor, "_ C H W"]],
    progress: Progress,
    device: torch.device,
) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
    """Scores of normal images that the detector has not learned from.

    Args:
        score: Gives the scores of a batch.
        calibration: The images, in batches.
        progress: Shows the batches.
        device: Where they are scored.

    Returns:
        The image scores, and the largest value of each anomaly map; the image scores again if there
        are no maps.

    Raises:
        TrainingError: If there are no images, or their scores are not finite.
    """
    scores, highest = [], []
    for images in shown(calibration, progress, "Calibration"):
        found = score(images.to(device))
        scores.append(found.image_score)
        of_map = found.anomaly_map
        highest.append(found.image_score if of_map is None else of_map.flatten(1).amax(dim=1))
    if not sum(map(len, scores)):
        raise no_calibration()
    joined = torch.cat(scores)
    if not joined.isfinite().all():
        raise TrainingError(
            "Scores of calibration images must be finite, got NaN or infinity. Check the images "
            "for NaN and the encoder's weights, or lower the learning rate."
        )
    return joined, torch.cat(highest)


def image_threshold(
    score: Callable[[Tensor], Scores],
    calibration: Iterable[Float[Tensor, "_ C H W"]],
    false_alarm_rate: float,
    progress: Progress,
    device: torch.device,
) -> Float[Tensor, ""]:
    """Smallest threshold that at most this share of the calibration images reaches.

    Arguments and errors are those of ``calibration_scores``.
    """
    scores, _ = calibration_scores(score, calibration, progress, device)
    return threshold_at_rate(scores, false_alarm_rate)


def no_calibration() -> TrainingError:
    """What to raise if there is no image to set thresholds by."""
    return TrainingError(
        "Thresholds need calibration images, got none. Raise calibration_share, or add normal "
        "images."
    )


def check_rate(false_alarm_rate: float) -> None:
    """Raise unless a false alarm rate lies between 0 and 1.

    Raises:
        InvalidInputError: Otherwise.
    """
    if not 0 < false_alarm_rate < 1:
        raise InvalidInputError(f"false_alarm_rate must be in (0, 1), got {false_alarm_rate}.")


def require_pixels(encoder: Encoder, model: str) -> None:
    """Refuse an encoder that changes the images, for a model that learns from them end to end.

    Raises:
        InvalidInputError: If it is not ``Pixels``.
    """
    if not isinstance(encoder, Pixels):
        raise InvalidInputError(
            f"{model} learns from images themselves: its encoder must be Pixels, got "
            f"{type(encoder).__name__}. Set encoder=Pixels.Config() and pretext=None in the recipe."
        )


def check_size(images: Float[Tensor, "B C H W"], size: tuple[int, ...]) -> None:
    """Refuse images whose scores are not comparable with those of the training images.

    Raises:
        InvalidInputError: If they have other channels, height or width.
    """
    if tuple(images.shape[1:]) != size:
        raise InvalidInputError(
            f"Images must be of channels and size {size}, got {tuple(images.shape[1:])}. Set "
            "image_size in the recipe."
        )
