"""Putting sprites and their shadows into a frame.

Frames hold gray values times FULL; masks and shadows hold coverage, 0 to FULL. All are (H, W).
"""

import numpy as np

from tasks.data.sources.raster import FULL, Ints, Sprite

SUN_ACROSS, SUN_UP = 5, 4
"""A shadow moves SUN_ACROSS pixels right for 8 of height, and 1 up for SUN_UP."""


def paste(frame: Ints, mask: Ints, sprite: Sprite, *, anomalous: bool) -> None:
    """Put a sprite over the frame, and over what was anomalous behind it."""
    window, part = overlap(frame, sprite.top, sprite.left, sprite.cover.shape)
    cover, gray = sprite.cover[part], sprite.gray[part]
    frame[window] = (frame[window] * (FULL - cover)) // FULL + gray
    mask[window] = mask[window] * (FULL - cover) // FULL + (cover if anomalous else 0)


def overlap(
    frame: Ints, top: int, left: int, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a box lies in the frame, and which part of the box that is."""
    y0, y1 = max(top, 0), max(min(top + shape[0], frame.shape[0]), 0)
    x0, x1 = max(left, 0), max(min(left + shape[1], frame.shape[1]), 0)
    y0, x0 = min(y0, y1), min(x0, x1)
    return (
        (slice(y0, y1), slice(x0, x1)),
        (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)),
    )


def cast(shade: Ints, ground: int, sprite: Sprite) -> None:
    """Lay the sprite's shadow on the ground: up, to the right, flattened."""
    cover, foot = sprite.cover, ground - sprite.top
    for row in range(max(foot, 0) // SUN_UP + 1):
        above = cover[max(foot - SUN_UP * (row + 1) + 1, 0) : foot - SUN_UP * row + 1]
        if len(above) == 0 or not above.any():
            continue
        line = above.max(axis=0)[None, :]
        left = sprite.left + (SUN_UP * row + 1) * SUN_ACROSS // 8
        window, part = overlap(shade, ground - row, left, line.shape)
        shade[window] = np.maximum(shade[window], line[part])


def soften(shade: Ints) -> Ints:
    """Blur the shadows' edges."""
    for _ in range(2):
        padded = np.pad(shade, 1, mode="edge")
        rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
        shade = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) // 16
    return shade
