import base64
from dataclasses import asdict
from types import SimpleNamespace

import cv2
import numpy as np
import torch

from models.capabilities import Box, NearestPatch
from tasks.data.ingest import ingest
from tasks.feedback.nearest import nearest
from tasks.packaging.preprocessing import Preprocessing

RANDOM = np.random.default_rng(0)


class Remembers:
    def nearest_patches(self, image, regions):
        assert regions == [Box(0, 0, *image.shape[-2:])]
        return [NearestPatch(1, regions[0], regions[0], 0.5)]


def packaged(version, num_clips, detector):
    return SimpleNamespace(
        detector=detector,
        preprocessing=Preprocessing(),
        device=torch.device("cpu"),
        lineage={"data": asdict(version)},
        calibration=SimpleNamespace(num_clips=num_clips),
    )


def test_the_training_picture_is_the_one_that_the_detector_names(repository, tmp_path):
    pixels = [RANDOM.integers(0, 256, (16, 24), dtype=np.uint8) for _ in range(3)]
    folder = tmp_path / "source" / "train" / "good"
    folder.mkdir(parents=True)
    for number, each in enumerate(pixels):
        assert cv2.imwrite(str(folder / f"{number}.png"), each)
    version = ingest.fn("squares", tmp_path / "source")
    found = nearest(packaged(version, 3, Remembers()), pixels[0][None])
    assert (found.path, found.distance) == ("train/good/1.png", 0.5)
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(found.png), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert (shown == pixels[1]).all()
    assert nearest(packaged(version, 2, Remembers()), pixels[0][None]) is None  # some held out
    assert nearest(packaged(version, 3, object()), pixels[0][None]) is None
