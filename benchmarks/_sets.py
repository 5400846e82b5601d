"""Sets of images that features are judged on, read from a folder as their authors publish them.

Shapes: N = images, C = channels (6 = window of consecutive gray frames), H W = image.
"""

import gzip
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision.io import ImageReadMode, decode_image

from models.contracts import WINDOW

HELD_OUT = 0.1
"""Last share of the training images, on which pretext tasks are not trained but measured."""
TILE_SIZE, FRAME_SIZE = (96, 96), (80, 120)
"""Rows and columns that tiles and frames are brought to: a third of a frame's own."""
STEP = 5
"""Of Ped2, every fifth frame counts."""


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images in two parts, and what is known of them.

    Attributes:
        train: Images without labels; normal ones if the set is about anomalies. uint8 (N, C, H, W).
        test: Other images.
        train_labels: Class of each training image, which only probes see; None for anomalies.
        test_labels: Class of each test image, or whether it is anomalous.
    """

    train: Tensor
    test: Tensor
    train_labels: NDArray[np.int64] | None
    test_labels: NDArray[np.int64]

    def split(self) -> tuple[Tensor, Tensor]:
        """Training images for a pretext task, and those held out from it."""
        kept = round(len(self.train) * (1 - HELD_OUT))
        return self.train[:kept], self.train[kept:]


class Batches:
    """Training images as float32 in [0, 1], in another order in each epoch.

    Args:
        images: uint8, shape (N, C, H, W).
        batch_size: Images in a batch; the last one may be smaller.
        seed: Of the order; None keeps that of the images.
    """

    def __init__(self, images: Tensor, batch_size: int = 32, seed: int | None = None) -> None:
        self._images, self._batch_size = images, batch_size
        self._draw = None if seed is None else torch.Generator().manual_seed(seed)
        self.num_seen = 0

    def __len__(self) -> int:
        return math.ceil(len(self._images) / self._batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        num = len(self._images)
        order = torch.randperm(num, generator=self._draw) if self._draw else torch.arange(num)
        for part in torch.split(order, self._batch_size):
            self.num_seen += len(part)
            yield self._images[part].float() / 255


def available(folder: Path, num: int) -> dict[str, Callable[[], ImageSet]]:
    """Readers of the sets that a folder has, by name.

    Args:
        folder: With ``mnist``, ``fashion-mnist``, ``cifar10``, ``magnetic_tile`` and ``ped2``, as
            far as they are there.
        num: Training images of a labelled set, at most, and test images.
    """
    found: dict[str, Callable[[], ImageSet]] = {}
    for name, path in (("mnist", "mnist"), ("fashion", "fashion-mnist")):
        if (folder / path).is_dir():
            found[name] = partial(read_idx, folder / path, num)
    if cifar := sorted((folder / "cifar10").glob("*.npz")):
        found["cifar10"] = partial(read_cifar, cifar[0], num)
    if (folder / "magnetic_tile").is_dir():
        found["magnetic_tile"] = partial(read_tiles, folder / "magnetic_tile")
    if (folder / "ped2").is_dir():
        found["ped2"] = partial(read_ped2, folder / "ped2")
    return found


def read_idx(folder: Path, num: int) -> ImageSet:
    """First images of MNIST or Fashion-MNIST, from their four idx files, packed or not."""
    arrays = [
        _idx(folder, f"{part}-{kind}")
        for part in ("train", "t10k")
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    train, train_labels, test, test_labels = arrays
    return ImageSet(
        train=torch.from_numpy(train[:num, None].copy()),
        test=torch.from_numpy(test[:num, None].copy()),
        train_labels=train_labels[:num].astype(np.int64),
        test_labels=test_labels[:num].astype(np.int64),
    )


def read_cifar(path: Path, num: int) -> ImageSet:
    """First images of CIFAR-10's training part; its last third is for testing."""
    with np.load(path) as arrays:
        images, labels = arrays["x"], arrays["y"].reshape(-1).astype(np.int64)
    most = 2 * len(images) // 3
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return ImageSet(
        train=pixels[: min(num, most)],
        test=pixels[most:],
        train_labels=labels[: min(num, most)],
        test_labels=labels[most:],
    )


def read_tiles(folder: Path) -> ImageSet:
    """Magnetic tiles, or any folder in the same layout: ``train/good``, ``test/<kind>``."""
    train = sorted((folder / "train" / "good").iterdir())
    test = sorted(path for kind in (folder / "test").iterdir() for path in kind.iterdir())
    return ImageSet(
        train=torch.stack([_gray(path, TILE_SIZE) for path in train])[:, None],
        test=torch.stack([_gray(path, TILE_SIZE) for path in test])[:, None],
        train_labels=None,
        test_labels=np.array([path.parent.name != "good" for path in test], dtype=np.int64),
    )


def read_ped2(folder: Path) -> ImageSet:
    """UCSD Ped2: windows of frames that describe every fifth frame of a clip."""
    with np.load(folder / "test_frame_labels.npz") as truth:
        labels = [truth[f"test{clip.name}"][_ends(clip)] for clip in _clips(folder / "test")]
    return ImageSet(
        train=torch.cat([_windows(clip) for clip in _clips(folder / "train")]),
        test=torch.cat([_windows(clip) for clip in _clips(folder / "test")]),
        train_labels=None,
        test_labels=np.concatenate(labels).astype(np.int64),
    )


def _idx(folder: Path, name: str) -> NDArray[np.uint8]:
    packed = folder / f"{name}.gz"
    data = (
        gzip.decompress(packed.read_bytes()) if packed.is_file() else (folder / name).read_bytes()
    )
    dimensions = data[3]
    shape = np.frombuffer(data, dtype=">u4", count=dimensions, offset=4)
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _clips(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _ends(clip: Path) -> NDArray[np.int64]:
    """Places of the frames that are described: the first has a full window before it."""
    return np.arange(WINDOW - 1, sum(1 for _ in clip.iterdir()), STEP)


def _windows(clip: Path) -> Tensor:
    frames = torch.stack([_gray(path, FRAME_SIZE) for path in sorted(clip.iterdir())])
    return torch.stack([frames[end - WINDOW + 1 : end + 1] for end in _ends(clip).tolist()])


def _gray(path: Path, size: tuple[int, int]) -> Tensor:
    image = decode_image(str(path), mode=ImageReadMode.GRAY).float()[None]
    resized = functional.interpolate(image, size=size, mode="bilinear", antialias=True)
    return resized[0, 0].round().clamp(0, 255).byte()
