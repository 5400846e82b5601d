"""One modern method for reference: SimCLR, with the parts of the ``lightly`` package.

Shapes: B = batch, C = channels, H W = image.
"""

import math
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor
from torchvision.transforms import v2

from benchmarks._comparators import new_trunk
from benchmarks._sets import Batches
from models.encoders.small import SmallTrunk, pooled

TEMPERATURE = 0.5
LEARNING_RATE = 1e-3
BATCH_SIZE = 128


def missing() -> str:
    """Why SimCLR cannot be run here; empty if it can."""
    if find_spec("lightly") is None:
        return "needs the package lightly, which is not installed (pip install lightly)"
    return ""


def simclr(images: Tensor, *, seed: int, steps: int) -> SmallTrunk:
    """Train a new trunk to tell the views of one image from those of all others.

    Args:
        images: uint8, shape (N, C, H, W).
        seed: Of the trunk, the views and the order of the images.
        steps: Batches to train on, rounded up to whole epochs.

    References:
        Chen et al., 2020, "A Simple Framework for Contrastive Learning of Visual
        Representations". https://arxiv.org/abs/2002.05709
    """
    loss, modules = (import_module(f"lightly.{name}") for name in ("loss", "models.modules"))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trunk = new_trunk(seed).to(device).train()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        width = trunk.embedding_dim
        head = modules.SimCLRProjectionHead(width, width, width).to(device)
        criterion = loss.NTXentLoss(temperature=TEMPERATURE)
        weights = [*trunk.parameters(), *head.parameters()]
        optimizer = torch.optim.Adam(weights, lr=LEARNING_RATE)
        batches, augment = Batches(images, BATCH_SIZE, seed=seed), _augmentation(images)
        epochs = math.ceil(steps / len(batches))
        total = epochs * len(batches)
        for step, batch in enumerate(batch for _ in range(epochs) for batch in batches):
            views = torch.stack([augment(image) for image in batch.repeat(2, 1, 1, 1)]).to(device)
            first, second = head(pooled(trunk(views))).chunk(2)
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * step / total)) / 2
            optimizer.zero_grad()
            criterion(first, second).backward()
            optimizer.step()
    return trunk.eval()


def _augmentation(images: Tensor) -> v2.Compose:
    """Crops and mirroring, and for colours jitter and gray as in the paper."""
    views: list[v2.Transform] = [v2.RandomResizedCrop(images.shape[-2:], (0.25, 1), antialias=True)]
    if images.shape[1] == 3:
        jitter = v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
        views += [v2.RandomHorizontalFlip(), v2.RandomApply([jitter], 0.8), v2.RandomGrayscale(0.2)]
    return v2.Compose(views)
