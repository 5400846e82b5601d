"""Normality: what is normal for a detector, as arrays in files that need no torch."""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from models.functional.drift import Reference
from tasks.packaging.calibration import Calibration

REFERENCE, CALIBRATION = "reference.safetensors", "calibration.safetensors"


def save_reference(folder: Path, reference: Reference) -> None:
    """Write the Gaussian of normal feature vectors."""
    values = {k: np.ascontiguousarray(v) for k, v in reference._asdict().items()}
    save_file(values, folder / REFERENCE)


def load_reference(folder: Path) -> Reference | None:
    """The Gaussian of normal feature vectors; None if there is none, or none in older packages."""
    if not (folder / REFERENCE).is_file():
        return None
    return Reference(**load_file(folder / REFERENCE))


def load_calibration(folder: Path) -> Calibration:
    """Scores of held-out normal images."""
    scores = load_file(folder / CALIBRATION)
    scores.setdefault("clip", np.arange(len(scores["image_score"])))  # of older packages
    return Calibration(**scores)
