"""Soft assignment of embeddings to clusters, and the sharper target it is trained towards.

Shapes: B = batch, N = all samples, D = embedding width, K = clusters.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def soft_assignment(
    embedding: Float[Tensor, "B D"], centroids: Float[Tensor, "K D"], alpha: float = 1.0
) -> Float[Tensor, "B K"]:
    """Probability q of each cluster: a Student t kernel of the distance to its centroid.

    Args:
        embedding: Points.
        centroids: One point for each cluster.
        alpha: Degrees of freedom, > 0; more makes far clusters less probable.

    Returns:
        In (0, 1); rows sum to 1.

    Example:
        >>> import torch
        >>> soft_assignment(torch.tensor([[0.0]]), torch.tensor([[0.0], [1.0]]))
        tensor([[0.6667, 0.3333]])

    References:
        Xie, Girshick and Farhadi, 2016, "Unsupervised Deep Embedding for Clustering Analysis",
        eq. 1. https://arxiv.org/abs/1511.06335
    """
    squared = (embedding[:, None] - centroids).square().sum(dim=2)
    kernel = (1 + squared / alpha) ** (-(alpha + 1) / 2)
    return kernel / kernel.sum(dim=1, keepdim=True)


def target_distribution(assignment: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
    """The target p: q squared over each cluster's frequency, normalised.

    It is surer than q, and favours small clusters, so that large ones do not swallow them. The
    frequencies are those of the rows that are passed: they must be the whole data set.

    Args:
        assignment: Soft assignment q of all samples.

    References:
        Xie, Girshick and Farhadi, 2016, eq. 3.
    """
    weight = assignment.square() / assignment.sum(dim=0)
    return weight / weight.sum(dim=1, keepdim=True)


def divergence(target: Float[Tensor, "B K"], assignment: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
    """Kullback-Leibler divergence KL(P || Q) in nats, >= 0: sum over clusters, mean over samples.

    References:
        Xie, Girshick and Farhadi, 2016, eq. 2.
    """
    return functional.kl_div(assignment.log(), target, reduction="batchmean")
