"""A judge of drawn digits: a small classifier of real ones, and what it says of samples.

Shapes: N = images, D = features, K = classes.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.metrics import generation

FEATURES, EPOCHS, BATCH = 64, 3, 64


class Judge(nn.Module):
    """Small convolutional classifier of gray 28 x 28 images; its penultimate layer is compared.

    Args:
        num_classes: Classes K.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, FEATURES),
            nn.ReLU(),
        )
        self.classes = nn.Linear(FEATURES, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, D) and logits (N, K)."""
        features = self.features(images)
        return features, self.classes(features)

    @torch.no_grad()
    def of(self, images: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Features and probabilities of images on the CPU, in parts."""
        device = self.classes.weight.device
        found = [self(part.to(device)) for part in torch.split(images, 500)]
        features = torch.cat([part[0] for part in found]).double()
        logits = torch.cat([part[1] for part in found]).double()
        return features.cpu().numpy(), functional.softmax(logits, dim=1).cpu().numpy()


def trained(images: Tensor, labels: NDArray[np.int64], *, seed: int, device: torch.device) -> Judge:
    """A judge that has learnt to tell real images apart: float32 (N, 1, 28, 28)."""
    targets = torch.from_numpy(labels)
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = Judge(int(labels.max()) + 1).to(device)
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        for ids in torch.split(torch.randperm(len(images), generator=draw), BATCH):
            _, logits = judge(images[ids].to(device))
            loss = functional.cross_entropy(logits, targets[ids].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return judge.eval()


def verdict(judge: Judge, samples: Tensor, train: Tensor, test: Tensor) -> dict[str, float]:
    """What the judge says of samples, beside what it says of as many training images.

    Args:
        judge: Trained.
        samples: Drawn images.
        train: Training images; the first of them, as many as there are samples, are the yardstick.
        test: Test images, which both are compared with.
    """
    real = test[: len(samples)]
    real_features, _ = judge.of(real)
    found: dict[str, float] = {}
    for name, images in (("", samples), ("_real", train[: len(samples)])):
        features, probabilities = judge.of(images)
        spread = generation.coverage(probabilities.argmax(axis=1), probabilities.shape[1])
        overlap = generation.precision_recall(real_features, features)
        found |= {
            f"classifier_fid{name}": generation.frechet_distance(features, real_features),
            f"classifier_is{name}": generation.inception_score(probabilities),
            f"coverage_min{name}": spread.smallest_share,
            f"coverage_kl{name}": spread.divergence,
            f"precision{name}": overlap.precision,
            f"recall{name}": overlap.recall,
        }
    flat, others, seen = (part.flatten(1).numpy() for part in (samples, real, train))
    for name, each in (("samples", flat[:500]), ("test", others[:500])):
        distance = generation.nearest(each, seen[:10_000]).distance
        found[f"nearest_training_{name}"] = float(np.median(distance))
    return found
