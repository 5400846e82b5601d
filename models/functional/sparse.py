"""Sparse autoencoder: loss that keeps hidden units mostly silent.

Shapes: N = samples, D = features, K = hidden units.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def sparsity(activations: Float[Tensor, "N K"], target: float) -> Float[Tensor, ""]:
    """Sum over units of KL(target || mean activation), both as Bernoulli rates; 0 if all agree.

    Args:
        activations: Of the hidden units, in (0, 1).
        target: Wanted mean activation rho, in (0, 1).
    """
    rate = activations.mean(dim=0).clamp(1e-6, 1 - 1e-6)
    wanted = torch.full_like(rate, target)
    divergence = wanted * (wanted / rate).log()
    divergence += (1 - wanted) * ((1 - wanted) / (1 - rate)).log()
    return divergence.sum()


def sparse_autoencoder_loss(
    samples: Float[Tensor, "N D"],
    reconstruction: Float[Tensor, "N D"],
    activations: Float[Tensor, "N K"],
    *,
    target: float,
    weight: float,
) -> Float[Tensor, ""]:
    """``mean 1/2 |x - x'|^2 + weight * sum_k KL(target || rate_k)``, without weight decay.

    References:
        Sabokrou et al., 2018, "Deep-anomaly", eq. 4. https://arxiv.org/abs/1609.00866
    """
    error = (samples - reconstruction).square().sum(dim=1).mean() / 2
    return error + weight * sparsity(activations, target)
