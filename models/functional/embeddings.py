"""Embeddings of whole images, and a bounded sample of them: what shallow detectors learn from.

Shapes: B = batch, C = channels, H W = image, M = samples, D = features, G = grid.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from models.contracts import Encoder
from models.errors import InvalidInputError, TrainingError
from models.functional.reservoir import Reservoir


def embedding_dim(encoder: Encoder, grid: int) -> int:
    """Features D of the embedding of a whole image.

    Raises:
        InvalidInputError: If ``grid`` is not positive.
    """
    if grid < 1:
        raise InvalidInputError(f"grid must be >= 1, got {grid}.")
    return encoder.embedding_dim * grid**2


@torch.no_grad()
def embed(encoder: Encoder, images: Float[Tensor, "B C H W"], grid: int) -> Float[Tensor, "B D"]:
    """Embedding of each image: its feature map, averaged over G x G equal parts, as one vector.

    A grid of 1 is global average pooling. With the encoder ``Pixels`` and the side of the images
    as the grid, the embedding is the image.
    """
    feature_map = encoder(images).float()
    return functional.adaptive_avg_pool2d(feature_map, grid).flatten(start_dim=1)


def sampled(
    embeddings: Iterable[Float[Tensor, "_ D"]], most: int, seed: int
) -> Float[Tensor, "M D"]:
    """At most ``most`` of some embeddings, drawn uniformly, in the order of their drawn keys.

    Raises:
        TrainingError: If there are none, or one is not finite.
    """
    reservoir = Reservoir(most, seed)
    for vectors in embeddings:
        if not vectors.isfinite().all():
            raise TrainingError(
                "Embeddings must be finite, got NaN or infinity. Check the images for NaN and the "
                "encoder's weights."
            )
        reservoir.update(vectors)
    if not reservoir.num_seen:
        raise TrainingError("Training needs images, got none. Add some to train/good.")
    return reservoir.samples()


def padded(values: Tensor, length: int) -> Tensor:
    """Values in float64, followed by zeros up to a length: learned state has a known size."""
    full = values.new_zeros((length, *values.shape[1:]), dtype=torch.float64)
    full[: len(values)] = values
    return full
