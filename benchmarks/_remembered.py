"""A pretrained trunk that computes each image once, for all methods, seeds and runs."""

import hashlib
import tempfile
import time
from pathlib import Path

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks._sets import Batches
from models.encoders.pretrained import PretrainedTrunk

FOLDER = Path(tempfile.gettempdir()) / "unseen-benchmark-stills"
BATCH = 16
"""Images at once."""
SOURCE = f"{torch.__version__} {timm.__version__}"


class Remembered(PretrainedTrunk):
    """The trunk, which computes the maps of each image once, and counts what that would take.

    What it computed lies in ``FOLDER`` too, from one run to the next.
    """

    def __init__(self, config: PretrainedTrunk.Config) -> None:
        super().__init__(config)
        (FOLDER / "features").mkdir(parents=True, exist_ok=True)
        self.saved_s = 0.0
        self._remembered: dict[bytes, tuple[list[Tensor], float]] = {}

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Maps that were computed now or before."""
        keys = [hashlib.blake2b(each.contiguous().numpy().tobytes()).digest() for each in images]
        new = [place for place, key in enumerate(keys) if not self._knows(key)]
        if new:
            began = time.perf_counter()
            maps = super().feature_maps(images[new])
            each_s = (time.perf_counter() - began) / len(new)
            for row, place in enumerate(new):
                self._remembered[keys[place]] = [found[row].clone() for found in maps], each_s
                torch.save(self._remembered[keys[place]], self._file(keys[place]))
            self.saved_s -= each_s * len(new)
        known = [self._remembered[key] for key in keys]
        self.saved_s += sum(seconds for _, seconds in known)
        return [torch.stack(maps) for maps in zip(*(maps for maps, _ in known), strict=True)]

    def _file(self, key: bytes) -> Path:
        basis = hashlib.blake2b(f"{self.config}{SOURCE}".encode() + key, digest_size=16)
        return FOLDER / "features" / basis.hexdigest()

    def _knows(self, key: bytes) -> bool:
        if key not in self._remembered and self._file(key).is_file():
            self._remembered[key] = torch.load(self._file(key), weights_only=True)
        return key in self._remembered

    def all(self, images: Tensor) -> tuple[dict[str, NDArray[np.float32]], float]:
        """Maps of uint8 images by layer, and the seconds that they took."""
        before, began = self.saved_s, time.perf_counter()
        found = [self.feature_maps(batch) for batch in Batches(images, BATCH)]
        seconds = time.perf_counter() - began + self.saved_s - before
        maps = (torch.cat(each).numpy() for each in zip(*found, strict=True))
        return dict(zip(self.layer_names, maps, strict=True)), seconds
