"""A recipe and a data set for clustering, so small that the whole lifecycle takes seconds."""

import numpy as np
from PIL import Image

from flows.recipes import Recipe
from models.clustering.dcec import DCEC
from models.encoders.pixels import Pixels
from tasks.data.limits import Expectations
from tasks.records import Training
from tasks.registry.policy import PromotionPolicy

SIDE = 12


def halves() -> Recipe:
    """DCEC on squares that are bright in one of their halves."""
    return Recipe(
        name="halves",
        dataset="halves",
        training=Training(batch_size=8),
        encoder=Pixels.Config(),
        pretext=None,
        detector=DCEC.Config(
            num_clusters=2,
            side=8,
            embedding_dim=3,
            epochs=20,
            max_iterations=20,
            update_interval=5,
            batch_size=16,
        ),
        expectations=Expectations(anomalies=False),
        promotion=PromotionPolicy(metric="cluster_acc", floor=-1.0),
    )


def write(folder, seed=0, num_train=48, num_test=6):
    """Both halves unlabelled to train on, and by class to test."""
    random = np.random.default_rng(seed)

    def half(kind):
        image = random.uniform(0, 60, (SIDE, SIDE))
        columns = slice(None, SIDE // 2) if kind == "left" else slice(SIDE // 2, None)
        image[:, columns] += 180
        return image.astype(np.uint8)

    def save(path, image):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)

    for k in range(num_train):
        save(folder / "train" / "good" / f"{k:03}.png", half(("left", "right")[k % 2]))
    for kind in ("left", "right"):
        for k in range(num_test):
            save(folder / "test" / f"good-{kind}" / f"{k:03}.png", half(kind))
    return folder
