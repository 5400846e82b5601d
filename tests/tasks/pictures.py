"""Small data sets for the tests of everything that reads data."""

import numpy as np
from PIL import Image

SIZE = (12, 16)


def picture(seed, size=SIZE):
    """Gray noise."""
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_stills(folder, seed=0, train=5):
    """Still images: ``train`` normal ones, a normal and a scratched one to test, with its mask."""
    for index in range(train):
        save(folder / "train" / "good" / f"{index:03d}.png", picture((seed, 0, index)))
    save(folder / "test" / "good" / "000.png", picture((seed, 1)))
    save(folder / "test" / "scratch" / "000.png", picture((seed, 2)))
    mask = np.zeros(SIZE, bool)
    mask[2:4, 3:9] = True
    save(folder / "ground_truth" / "scratch" / "000_mask.png", mask)
    return folder


def write_clips(folder, seed=0, frames=9, marked=(3, 4, 5), clips=2):
    """Clips of numbered frames: ``clips`` to train, a normal and a mixed one to test."""
    for clip in range(clips):
        for t in range(frames):
            name = f"train/good/{clip + 1:02d}/{t:03d}.png"
            save(folder / name, picture((seed, 0, clip, t)))
    for t in range(frames):
        save(folder / "test" / "good" / "01" / f"{t:03d}.png", picture((seed, 1, t)))
        save(folder / "test" / "cart" / "01" / f"{t:03d}.png", picture((seed, 2, t)))
        mask = np.zeros(SIZE, bool)
        mask[1:3, 1 : 2 + t] = t in marked
        save(folder / "ground_truth" / "cart" / "01" / f"{t:03d}.png", mask)
    return folder
