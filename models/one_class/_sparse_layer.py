"""Third layer of Deep-Anomaly: a 1x1 convolution trained as a sparse autoencoder.

Shapes: N = samples, D = features, K = kernels.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from models.errors import InvalidInputError, TrainingError
from models.functional.sparse import sparse_autoencoder_loss

BATCH = 512
"""Samples for one step of the optimiser."""


@dataclass(frozen=True, kw_only=True)
class SparseLayerConfig:
    """Hyper-parameters of the sparse autoencoder."""

    kernels: int = 500
    """Number K of hidden units: the kernels of the 1x1 convolution; the paper's 500."""
    sparsity: float = 0.05
    """Wanted mean activation of a unit, in (0, 1)."""
    sparsity_weight: float = 1.0
    """Weight of the divergence from it, >= 0."""
    weight_decay: float = 1e-5
    """Of all weights, >= 0."""
    num_samples: int = 20_000
    """Feature vectors to train on, drawn uniformly from the normal ones."""
    epochs: int = 10
    """Passes over them, >= 1."""
    learning_rate: float = 3e-3
    """Of Adam, > 0."""

    def __post_init__(self) -> None:
        if min(self.kernels, self.num_samples, self.epochs) < 1:
            raise InvalidInputError(f"kernels, num_samples and epochs must be >= 1, got {self}.")
        if not 0 < self.sparsity < 1 or self.learning_rate <= 0:
            raise InvalidInputError(f"sparsity must be in (0, 1), learning_rate > 0, got {self}.")


def train_sparse_layer(
    samples: Float[Tensor, "N D"],
    scale: Float[Tensor, "D"],
    config: SparseLayerConfig,
    seed: int,
) -> tuple[Float[Tensor, "K D"], Float[Tensor, "K"]]:
    """Train the autoencoder on normal feature vectors and return its encoder half.

    Args:
        samples: Normal feature vectors.
        scale: Factors of the features while training, folded into what is returned.
        config: Hyper-parameters.
        seed: Of the first weights and the order of samples.

    Returns:
        Kernels and biases of a layer with sigmoid activation.

    Raises:
        TrainingError: If the loss diverges.
    """
    shift = samples.mean(dim=0)
    inputs = (samples - shift) * scale
    draw = Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        encode = nn.Linear(samples.shape[1], config.kernels)
        nn.init.constant_(encode.bias, math.log(config.sparsity / (1 - config.sparsity)))
        decode = nn.Linear(config.kernels, samples.shape[1])
        parameters = [*encode.parameters(), *decode.parameters()]
        optimizer = torch.optim.Adam(
            parameters, lr=config.learning_rate, weight_decay=config.weight_decay
        )
        for _ in range(config.epochs):
            order = torch.randperm(len(inputs), generator=draw)
            for start in range(0, len(order), BATCH):
                chosen = order[start : start + BATCH]
                activations = encode(inputs[chosen]).sigmoid()
                loss = sparse_autoencoder_loss(
                    inputs[chosen],
                    decode(activations),
                    activations,
                    target=config.sparsity,
                    weight=config.sparsity_weight,
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    if not loss.isfinite():
        raise TrainingError(
            f"The sparse autoencoder's loss must be finite, got {loss.item()}. Lower its "
            "learning_rate."
        )
    kernels = encode.weight.detach() * scale
    return kernels, encode.bias.detach() - kernels @ shift
