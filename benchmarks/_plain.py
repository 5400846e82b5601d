"""The straightforward way to train DCEC's autoencoder, as most public PyTorch code has it.

Written here from the paper's description, as what our training is timed against; it is nobody's
published code. Standard layers and memory format, Adam as it comes, the loss read at every step.

Shapes: B = batch, S = side of the gray images.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def autoencoder(side: int) -> nn.Sequential:
    """DCEC's layers for gray images."""
    padding, smallest = int(side % 8 == 0), side // 8
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(64, 128, 3, stride=2, padding=padding),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128 * smallest**2, 10),
        nn.Linear(10, 128 * smallest**2),
        nn.ReLU(),
        nn.Unflatten(1, (128, smallest, smallest)),
        nn.ConvTranspose2d(128, 64, 3, stride=2, padding=padding, output_padding=padding),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 5, stride=2, padding=2, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 5, stride=2, padding=2, output_padding=1),
    )


def train_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Sequence[Tensor]
) -> float:
    """Reconstruct each batch (B, 1, S, S) once; the mean loss."""
    total = 0.0
    for images in batches:
        loss = nn.functional.mse_loss(model(images), images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(batches)
