"""One modern method for reference: SimCLR.

Shapes: B = batch, C = channels, H W = image.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import v2

from benchmarks._comparators import new_trunk
from benchmarks._sets import Batches
from models.encoders.small import SmallTrunk, pooled

TEMPERATURE = 0.5
LEARNING_RATE = 1e-3
BATCH_SIZE = 128


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
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trunk = new_trunk(seed).to(device).train()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        width = trunk.embedding_dim
        head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)).to(device)
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
            nt_xent(first, second).backward()
            optimizer.step()
    return trunk.eval()


def nt_xent(first: Tensor, second: Tensor) -> Tensor:
    """Cross-entropy of finding the other view of an image among those of all: equation 1.

    Args:
        first: Projections of one view of each image. Shape (N, D).
        second: Of the other.
    """
    views = functional.normalize(torch.cat([first, second]))
    alike = (views @ views.T / TEMPERATURE).fill_diagonal_(-torch.inf)
    return functional.cross_entropy(
        alike, torch.arange(len(views), device=views.device).roll(len(first))
    )


def _augmentation(images: Tensor) -> v2.Compose:
    """Crops and mirroring, and for colours jitter and gray as in the paper."""
    views: list[v2.Transform] = [v2.RandomResizedCrop(images.shape[-2:], (0.25, 1), antialias=True)]
    if images.shape[1] == 3:
        jitter = v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
        views += [v2.RandomHorizontalFlip(), v2.RandomApply([jitter], 0.8), v2.RandomGrayscale(0.2)]
    return v2.Compose(views)
