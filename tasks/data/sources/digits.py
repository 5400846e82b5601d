"""Scikit-learn's real handwritten digits: ``digits`` with one as normal, ``digits-all`` with all.

1,797 pictures of 8x8 pixels (UCI's Optical Recognition of Handwritten Digits). They ship with
scikit-learn, so nothing is downloaded. No two of them are equal; that is checked, because a picture
in both train and test would flatter every model.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.contracts import Progress, silent
from models.errors import DataError
from tasks.data.sources import png

NORMAL = 0
"""The digit that is normal; the other nine are anomalous."""
STEP = 15
"""Gray levels for one of the original levels 0 to 16."""
_TRAIN_OF_TEN = 7


def write(folder: Path, progress: Progress = silent) -> None:
    """Write ``train/good``, ``test/good`` and ``test/<digit>`` below ``folder``.

    Of every ten pictures of the normal digit seven are for training, in the order of the data set,
    so that both sides hold the handwriting of all periods of the collection. A file is named by
    its index in ``load_digits``.

    Raises:
        DataError: If this scikit-learn ships other digits than the well-known ones.
    """
    pictures, digits = load()
    seen = 0
    steps = enumerate(zip(pictures, digits.tolist(), strict=True))
    for index, (picture, digit) in progress(steps, total=len(digits), description="digits"):
        place = f"test/{digit}"
        if digit == NORMAL:
            place = "train/good" if seen % 10 < _TRAIN_OF_TEN else "test/good"
            seen += 1
        path = folder / place / f"{index:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png.encode(picture))


def write_all(folder: Path) -> None:
    """Write ``train/good``, with all digits and no hint of which, and ``test/good-<digit>``.

    Of every ten pictures of each digit seven are for training, as in ``write``.

    Raises:
        DataError: If this scikit-learn ships other digits than the well-known ones.
    """
    pictures, digits = load()
    seen = [0] * 10
    for index, (picture, digit) in enumerate(zip(pictures, digits.tolist(), strict=True)):
        place = "train/good" if seen[digit] % 10 < _TRAIN_OF_TEN else f"test/good-{digit}"
        seen[digit] += 1
        path = folder / place / f"{index:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png.encode(picture))


def load() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All pictures as gray values, shape (1797, 8, 8), and their digits.

    Raises:
        DataError: If they are not the 1,797 distinct pictures with levels 0 to 16.
    """
    from sklearn.datasets import load_digits

    flat, digits = load_digits(return_X_y=True)
    distinct = len(np.unique(flat, axis=0))
    if flat.shape != (1797, 64) or distinct != len(flat) or flat.min() < 0 or flat.max() > 16:
        raise DataError(
            "load_digits must hold 1797 distinct pictures of 64 levels from 0 to 16, got "
            f"{distinct} distinct ones in an array of shape {flat.shape}. Install a scikit-learn "
            "release from the range in pyproject.toml."
        )
    pictures = (flat.astype(np.int64) * STEP).astype(np.uint8).reshape(-1, 8, 8)
    return pictures, np.asarray(digits, np.int64)
