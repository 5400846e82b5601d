"""Digits of three origins, brought to one form: gray, 28 x 28 pixels, in [0, 1].

Shapes: N = images, C = channels, H W = image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from benchmarks._sets import read_idx

SIDE = 28
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Images float32 (N, 1, 28, 28) with their digits, to train and to test on."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor


def read(name: str, folder: Path) -> Digits:
    """One of ``READERS`` from the folder that holds all of them."""
    train, train_labels, test, test_labels = READERS[name](folder / name)
    return Digits(
        train=_form(train),
        train_labels=torch.from_numpy(train_labels.astype(np.int64)),
        test=_form(test),
        test_labels=torch.from_numpy(test_labels.astype(np.int64)),
    )


Arrays = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]


def _mnist(folder: Path) -> Arrays:
    found = read_idx(folder, 60_000)
    assert found.train_labels is not None
    return found.train.numpy(), found.train_labels, found.test.numpy(), found.test_labels


def _usps(folder: Path) -> Arrays:
    with np.load(folder / "usps.npz") as arrays:
        return (
            arrays["train_images"][:, None],
            arrays["train_labels"],
            arrays["test_images"][:, None],
            arrays["test_labels"],
        )


def _svhn(folder: Path) -> Arrays:
    with np.load(folder / "svhn_crops_32x32.npz") as arrays:
        train, test = (arrays[name].transpose(0, 3, 1, 2) for name in ("x_train", "x_test"))
        return train, arrays["y_train"].reshape(-1), test, arrays["y_test"].reshape(-1)


READERS: dict[str, Callable[[Path], Arrays]] = {"mnist": _mnist, "usps": _usps, "svhn": _svhn}
"""MNIST's idx files; ``usps.npz``; ``svhn_crops_32x32.npz``, a small part of SVHN."""


def _form(images: NDArray[np.uint8]) -> Tensor:
    pixels = torch.from_numpy(images).float() / 255
    if pixels.shape[1] == 3:
        pixels = (pixels * torch.tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)
    if pixels.shape[-1] != SIDE:
        size = (SIDE, SIDE)
        pixels = functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    return pixels.clamp(0, 1)
