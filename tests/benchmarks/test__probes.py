import numpy as np
import torch

from benchmarks._probes import classify, detect
from benchmarks._sets import ImageSet


def images(num, seed, side=8):
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(100, 110, (num, 1, side, side), dtype=torch.uint8, generator=draw)


def test_classes_that_the_features_tell_apart_are_found():
    labels = np.arange(60) % 3
    bright = torch.from_numpy(labels * 50)[:, None, None, None].to(torch.uint8)
    labelled = ImageSet(
        train=images(60, 0) + bright,
        test=images(60, 1) + bright,
        train_labels=labels,
        test_labels=labels,
    )
    blind = lambda batch: torch.zeros(len(batch), 1)  # noqa: E731
    seeing = lambda batch: torch.stack([m := batch.mean(dim=(1, 2, 3)), (m - 0.6).abs()], 1)  # noqa: E731
    assert classify(seeing, labelled) == {"probe": 1.0, "knn": 1.0}
    assert classify(blind, labelled)["probe"] < 0.4


def test_unusual_places_are_found():
    test = images(20, 1, side=12)
    test[10:, :, 4:8, 4:8] = 180
    scenes = ImageSet(
        train=images(20, 0, side=12),
        test=test,
        train_labels=None,
        test_labels=np.repeat([0, 1], 10),
    )
    pair = lambda batch: torch.cat([batch, batch.square()], dim=1)  # noqa: E731
    assert detect(pair, scenes) == {"detector_auc": 1.0}
