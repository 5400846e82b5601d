"""Triplets of an anchor, a positive that shows the same thing, and a negative that does not.

Shapes: B = pairs, D = embedding, N = B - 1 negatives of a pair, K = negatives that are chosen.

Embeddings have length 1, so that distances are in [0, 2].
"""

import torch
from jaxtyping import Float
from torch import Generator, Tensor


def cosine_distances(
    first: Float[Tensor, "B D"], second: Float[Tensor, "B D"]
) -> Float[Tensor, "B B"]:
    """1 - cosine, of each embedding of ``first`` (rows) to each of ``second`` (columns)."""
    return 1 - first @ second.T


def ranking_losses(
    anchor: Float[Tensor, "B D"], positive: Float[Tensor, "B D"], margin: float
) -> Float[Tensor, "B N"]:
    """Hinge loss of each triplet; the negatives of a pair are the positives of the others.

    ``max(0, d(anchor, positive) - d(anchor, negative) + margin)``.

    References:
        Wang and Gupta, 2015, "Unsupervised Learning of Visual Representations using Videos",
        equation 2. https://arxiv.org/abs/1505.00687
    """
    distances = cosine_distances(anchor, positive)
    return (distances.diagonal()[:, None] - _others(distances) + margin).relu()


def hardest(losses: Float[Tensor, "B N"], num: int) -> Float[Tensor, "B K"]:
    """The largest losses of each anchor, at most ``num``."""
    return losses.topk(min(num, losses.shape[1]), dim=1).values


def at_random(losses: Float[Tensor, "B N"], num: int, draw: Generator) -> Float[Tensor, "B K"]:
    """Losses of each anchor with negatives drawn without replacement, at most ``num``."""
    order = torch.rand(losses.shape, generator=draw).argsort(dim=1)
    return losses.gather(1, order[:, :num].to(losses.device))


def num_in_order(anchor: Float[Tensor, "B D"], positive: Float[Tensor, "B D"]) -> int:
    """Of the B (B - 1) triplets, how many have the positive nearer to the anchor. Ties do not."""
    distances = cosine_distances(anchor, positive)
    return int((distances.diagonal()[:, None] < _others(distances)).sum().item())


def _others(square: Tensor) -> Tensor:
    """A square matrix without its diagonal, shape (B, B - 1)."""
    size = len(square)
    return square.flatten()[1:].view(size - 1, size + 1)[:, :-1].reshape(size, size - 1)
