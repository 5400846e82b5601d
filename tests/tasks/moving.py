"""Clips in which textured squares move over a textured ground, and where they are."""

import cv2
import numpy as np

from tests.tasks.pictures import save

SIZE = (96, 144)
SQUARE = 24
SPEED = 2
STARTS = ((8, 10), (60, 110))
"""Row and column of each square's corner in the first frame; the second one goes back."""


def texture(random, size):
    """Smooth noise of full contrast."""
    noise = cv2.GaussianBlur(random.normal(size=size).astype(np.float32), (0, 0), 1.5)
    return np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)


def corner(square, t):
    """Row and column of a square's corner in frame t."""
    row, column = STARTS[square]
    return row, column + (1, -1)[square] * SPEED * t


def frames(seed=0, num=36, squares=(0, 1), ground=None):
    """A clip (num, H, W); each square has a texture of its own."""
    random = np.random.default_rng(seed)
    ground = texture(random, SIZE) // 2 if ground is None else ground
    faces = [texture(random, (SQUARE, SQUARE)) for _ in STARTS]
    clip = np.repeat(ground[None], num, axis=0)
    for t in range(num):
        for square in squares:
            row, column = corner(square, t)
            clip[t, row : row + SQUARE, column : column + SQUARE] = faces[square]
    return clip


def write(folder, clips=4, **options):
    """A data set of such clips, all of them normal."""
    for number in range(clips):
        for t, frame in enumerate(frames(seed=number, **options)):
            save(folder / "train" / "good" / f"{number:02d}" / f"{t:03d}.png", frame)
    return folder
