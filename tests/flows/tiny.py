"""A recipe and a data set so small that the whole lifecycle takes seconds."""

import dataclasses

import cv2
import numpy as np

from flows.recipes import Recipe
from models.encoders.pixels import Pixels
from models.one_class.deep_anomaly import DeepAnomaly
from models.one_class.knn import NearestNeighbours
from models.one_class.ognet import OGNet
from models.one_class.pooled_gaussian import PooledGaussian
from models.pretext.context_encoder import ContextEncoder
from tasks.data.limits import Expectations
from tasks.records import Training
from tasks.registry.policy import PromotionPolicy

SIDE = 64


def tiny() -> Recipe:
    """Deep-Anomaly on textured squares."""
    return Recipe(
        name="tiny",
        dataset="tiny",
        training=Training(batch_size=8),
        pretext=ContextEncoder.Config(epochs=1),
        detector=DeepAnomaly.Config(neighbourhood=3),
        expectations=Expectations(),
        promotion=PromotionPolicy(metric="image_auroc", floor=-1.0),  # so few images prove nothing
    )


def pooled() -> Recipe:
    """One Gaussian on the same, on a trunk that nobody trains."""
    detector = PooledGaussian.Config(neighbourhood=1)
    return dataclasses.replace(tiny(), name="pooled", pretext=None, detector=detector)


def tiny_alocc() -> Recipe:
    """OGNet on patches of them, for a few steps: it localises."""
    detector = OGNet.Config(
        patch=32, stride=16, width=4, num_steps=6, num_snapshots=2, contrast_steps=2
    )
    return dataclasses.replace(
        tiny(), name="tiny_alocc", encoder=Pixels.Config(), pretext=None, detector=detector
    )


def tiny_knn() -> Recipe:
    """Nearest neighbours of whole squares: it makes no anomaly map."""
    detector = NearestNeighbours.Config(grid=16)
    return dataclasses.replace(
        tiny(), name="tiny_knn", encoder=Pixels.Config(), pretext=None, detector=detector
    )


def write(folder, seed=0, num_train=24, num_test=6):
    """Stripes as normal; a bright disc as the anomaly, with its mask."""
    random = np.random.default_rng(seed)

    def stripes():
        phase = random.uniform(0, 6)
        rows = 128 + 50 * np.sin(np.arange(SIDE)[:, None] / 3 + phase)
        return np.clip(rows + random.normal(0, 8, (SIDE, SIDE)), 0, 255).astype(np.uint8)

    def save(path, image):
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image)

    for k in range(num_train):
        save(folder / "train" / "good" / f"{k:03}.png", stripes())
    for k in range(num_test):
        save(folder / "test" / "good" / f"{k:03}.png", stripes())
        center = tuple(int(v) for v in random.integers(16, SIDE - 16, 2))
        mask = cv2.circle(np.zeros((SIDE, SIDE), np.uint8), center, 9, 255, -1)
        save(folder / "test" / "disc" / f"{k:03}.png", np.maximum(stripes(), mask))
        save(folder / "ground_truth" / "disc" / f"{k:03}_mask.png", mask)
    return folder
