"""Places of a feature map, as detectors with a Gaussian judge them: features, and movement.

Shapes: B = batch, C = channels, H W = image, h w = feature map, P = places, D = features.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from models.capabilities import Observation, Reference
from models.contracts import Encoder, Scores
from models.errors import InvalidInputError
from models.fitting import check_rate
from models.functional.gaussian import Moments
from models.functional.movement import CHANGES, NUM_MOVEMENTS, movement
from models.functional.receptive_field import ReceptiveField, centre
from models.functional.speeds import NUM_SPEEDS, speeds
from models.functional.windows import window_mean
from models.gaussians import Gaussian, Part
from models.memory import keep_freed_memory

NUM_OF_FLOW = {"gradients": NUM_MOVEMENTS, "blocks": NUM_SPEEDS}
"""Statistics of movement by how flow is found: ``models.functional.movement`` follows gradients,
``models.functional.speeds`` matches blocks."""
PART_PIXELS = 1_400_000
"""Pixels of one frame each that are worked on at once: what a processor's cache holds."""


@runtime_checkable
class MotionConfig(Protocol):
    """Hyper-parameters of a Gaussian on the features and the movement of places."""

    @property
    def shrinkage(self) -> float:
        """Weight of the identity in the covariance, in (0, 1]."""
        ...

    @property
    def movement(self) -> float:
        """Spread of movement, or its weight if blocks are matched, >= 0; 0 leaves it out."""
        ...

    @property
    def change(self) -> float:
        """Spread of the statistics of change of gray levels, >= 0."""
        ...

    @property
    def flow(self) -> str:
        """How movement is found, a key of ``NUM_OF_FLOW``."""
        ...


def place_features(
    encoder: Encoder,
    images: Float[Tensor, "B C H W"],
    *,
    side: int,
    flow: str | None = None,
    appearance: bool = True,
) -> Float[Tensor, "B h w D"]:
    """Features of each place, the encoder's first.

    Args:
        encoder: Trunk.
        images: Clips or still images.
        side: Side of the square of places over which the trunk's features are averaged, odd.
        flow: Append statistics of movement, found so; a key of ``NUM_OF_FLOW``.
        appearance: False leaves the encoder's features out; then it only says where places are, a
            stride apart, as far as their centres lie in the image, and computes nothing.
    """
    found = movement if flow == "gradients" else speeds
    field = encoder.receptive_field
    if not appearance:
        first = max(round(centre(field)), 0)
        rows, columns = ((side - 1 - first) // field.stride + 1 for side in images.shape[-2:])
        return found(images, field, rows, columns).permute(0, 2, 3, 1)
    feature_map: Tensor = encoder(images)
    rows, columns = feature_map.shape[-2:]
    features = window_mean(feature_map, side).permute(0, 2, 3, 1)
    if flow is None:
        return features
    moved = found(images, field, rows, columns).permute(0, 2, 3, 1)
    return torch.cat([features, moved], dim=-1)


def widened(field: ReceptiveField, side: int) -> ReceptiveField:
    """Pixels that a place sees after averaging over a square of ``side`` places."""
    reach = side // 2 * field.stride
    return ReceptiveField(field.size + 2 * reach, field.stride, field.offset + reach)


def fit_gaussian(
    gaussian: Gaussian, moments: Moments, num_trunk: int, config: MotionConfig
) -> None:
    """Fit a Gaussian to the moments of normal places, as a detector's configuration says.

    Args:
        gaussian: Of all features of a place, fitted in place.
        moments: Of normal places.
        num_trunk: Features of the trunk, which come first; 0 if they are left out.
        config: Hyper-parameters.
    """
    if config.flow == "gradients":
        scale = balance(moments, num_trunk, config.movement, config.change)
        gaussian.set(moments, config.shrinkage, scale)
        return
    scale = torch.ones_like(moments.mean)
    parts = []
    if num_trunk:
        scale[:num_trunk] = main_scale(moments, num_trunk)
        parts.append(Part(num_trunk, 1.0))
    if config.movement:
        parts.append(Part(NUM_SPEEDS, config.movement))
    gaussian.set(moments, config.shrinkage, scale, parts)


def main_scale(moments: Moments, num_trunk: int) -> Float[Tensor, ""]:
    """Factor after which the trunk's features have standard deviation 1 along their main direction.

    0 if they never vary.
    """
    covariance = moments.marginal(slice(num_trunk)).covariance(0.0)
    main = torch.linalg.eigvalsh(covariance)[-1].clamp(min=0)
    return torch.where(main > 0, main.rsqrt(), 0)


def balance(
    moments: Moments, num_trunk: int, movement_spread: float, change_spread: float
) -> Float[Tensor, "D"]:
    """Factors after which features have comparable spreads, whatever the trunk's own scale.

    The trunk's features, the first ``num_trunk``, get one common factor that makes the standard
    deviation along their main direction 1; each statistic of movement gets the standard
    deviation ``movement_spread``, or ``change_spread`` if it is one of change. A feature that never
    varies gets 0.
    """
    covariance = moments.covariance(0.0)
    deviation = covariance.diagonal().sqrt()
    if num_trunk:
        main = torch.linalg.eigvalsh(covariance[:num_trunk, :num_trunk])[-1].clamp(min=0)
        deviation[:num_trunk] = main.sqrt()
    wanted = torch.ones_like(deviation)
    wanted[num_trunk:] = movement_spread
    wanted[num_trunk:][CHANGES] = change_spread
    return torch.where(deviation > 0, wanted / deviation, 0)


def observed(
    images: Float[Tensor, "B C H W"],
    features_of: Callable[[Tensor], Float[Tensor, "_ h w D"]],
    map_of: Callable[[Tensor, torch.Size], Float[Tensor, "_ H W"]],
) -> Observation:
    """Scores of a batch and the features that they come from, made part by part.

    Args:
        images: The batch.
        features_of: From images to the features of their places.
        map_of: From features, and the size of the images, to the score of each pixel.
    """
    found = []
    for part in parts(images):
        features = features_of(part)
        anomaly_map = map_of(features, part.shape[-2:])
        found.append((anomaly_map.amax(dim=(1, 2)), anomaly_map, features.flatten(1, 2)))
    image_score, anomaly_map, features = (
        each[0] if len(each) == 1 else torch.cat(each) for each in zip(*found, strict=True)
    )
    return Observation(Scores(image_score, anomaly_map), features)


def reference_of(gaussian: Gaussian) -> Reference:
    """Mean, covariance and whitener of a Gaussian."""
    return Reference(gaussian.mean_, gaussian.covariance_, gaussian.whitener_)


def parts(images: Float[Tensor, "B C H W"]) -> tuple[Float[Tensor, "_ C H W"], ...]:
    """Parts of a batch that a processor's cache holds, in order; on a GPU it stays whole.

    Parts of windows that are a view of a clip are such views.
    """
    if images.device.type != "cpu" or not images.numel():
        return (images,)
    keep_freed_memory()
    return torch.split(images, max(PART_PIXELS // max(images[0, 0].numel(), 1), 1))


def check_places(
    *, false_alarm_rate: float, shrinkage: float, num_votes: int, neighbourhood: int
) -> None:
    """Raise unless the settings of all detectors that judge places are in their ranges.

    Raises:
        InvalidInputError: Otherwise.
    """
    check_rate(false_alarm_rate)
    if not 0 < shrinkage <= 1:
        raise InvalidInputError(f"shrinkage must be in (0, 1], got {shrinkage}.")
    if num_votes < 1 or neighbourhood < 1 or neighbourhood % 2 == 0:
        raise InvalidInputError(
            f"num_votes must be >= 1 and neighbourhood odd, got {num_votes} and {neighbourhood}."
        )


def check_motion(config: MotionConfig) -> None:
    """Raise unless the settings of movement are in their ranges.

    Raises:
        InvalidInputError: Otherwise.
    """
    if min(config.movement, config.change) < 0:
        raise InvalidInputError(
            f"movement and change must be >= 0, got {config.movement} and {config.change}."
        )
    if config.flow not in NUM_OF_FLOW:
        raise InvalidInputError(
            f"flow must be one of {', '.join(NUM_OF_FLOW)}, got {config.flow!r}."
        )
