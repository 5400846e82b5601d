"""What a place of an image is judged by: the trunk's features around it, and movement.

Shapes: B = batch, C = channels, H W = image, h w = feature map, D = features.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from models.contracts import Encoder
from models.functional.gaussian import Moments
from models.functional.movement import CHANGES, NUM_MOVEMENTS, movement
from models.functional.receptive_field import ReceptiveField
from models.functional.speeds import NUM_SPEEDS, speeds
from models.functional.windows import window_mean
from models.one_class._gaussian import Gaussian, Part

NUM_OF_FLOW = {"gradients": NUM_MOVEMENTS, "blocks": NUM_SPEEDS}
"""Statistics of movement by how flow is found: ``models.functional.movement`` follows gradients,
``models.functional.speeds`` matches blocks."""


def place_features(
    encoder: Encoder,
    images: Float[Tensor, "B C H W"],
    *,
    side: int,
    with_movement: bool,
    flow: str = "gradients",
) -> Float[Tensor, "B h w D"]:
    """Features of each place, the encoder's first.

    Args:
        encoder: Trunk.
        images: Clips or still images.
        side: Side of the square of places over which the trunk's features are averaged, odd.
        with_movement: Append statistics of movement.
        flow: How it is found, a key of ``NUM_OF_FLOW``.
    """
    feature_map: Tensor = encoder(images)
    rows, columns = feature_map.shape[-2:]
    feature_map = window_mean(feature_map, side)
    if with_movement:
        found = movement if flow == "gradients" else speeds
        moved = found(images, encoder.receptive_field, rows, columns)
        return torch.cat([feature_map.permute(0, 2, 3, 1), moved.permute(0, 2, 3, 1)], dim=-1)
    return feature_map.permute(0, 2, 3, 1)


def widened(field: ReceptiveField, side: int) -> ReceptiveField:
    """Pixels that a place sees after averaging over a square of ``side`` places."""
    reach = side // 2 * field.stride
    return ReceptiveField(field.size + 2 * reach, field.stride, field.offset + reach)


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
    main = torch.linalg.eigvalsh(covariance[:num_trunk, :num_trunk])[-1].clamp(min=0)
    deviation[:num_trunk] = main.sqrt()
    wanted = torch.ones_like(deviation)
    wanted[num_trunk:] = movement_spread
    wanted[num_trunk:][CHANGES] = change_spread
    return torch.where(deviation > 0, wanted / deviation, 0)


def describe_normal(
    gaussian: Gaussian,
    moments: Moments,
    num_trunk: int,
    *,
    shrinkage: float,
    movement: float,
    change: float,
    flow: str,
) -> None:
    """Fit a Gaussian to the moments of normal places, as a detector's configuration says.

    Args:
        gaussian: Of all features of a place, fitted in place.
        moments: Of normal places.
        num_trunk: Features of the trunk, which come first.
        shrinkage: Weight of the identity.
        movement: Spread of movement, or its weight if blocks are matched; see ``DeepAnomaly``.
        change: Spread of the statistics of change.
        flow: How movement is found.
    """
    if flow == "gradients":
        gaussian.set(moments, shrinkage, balance(moments, num_trunk, movement, change))
        return
    trunk = moments.marginal(slice(num_trunk)).covariance(0.0)
    main = torch.linalg.eigvalsh(trunk)[-1].clamp(min=0)
    scale = torch.ones_like(moments.mean)
    scale[:num_trunk] = torch.where(main > 0, main.rsqrt(), 0)
    parts = [Part(num_trunk, 1.0)]
    if movement:
        parts.append(Part(NUM_SPEEDS, movement))
    gaussian.set(moments, shrinkage, scale, parts)
