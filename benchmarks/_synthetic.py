"""Anomalies made from normal clips, so that settings can be chosen without a labelled one.

What is put in keeps its size and its speed wherever it is, or follows the perspective of the
camera, by how much faster than on average things look in each row of pixels.

Shapes: T = frames, H W = frame.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.datasets import load_sample_images

Frames = NDArray[np.uint8]
Scales = NDArray[np.float64]
"""How large and fast things look in each row of pixels, against the mean. Shape (H,)."""
MARGIN = 6
"""Pixels over which what is put in fades out."""


class Changed(NamedTuple):
    """A clip into which something was put, and where it is.

    Attributes:
        frames: The clip. Shape (T, H, W).
        labels: Frames that show something anomalous. Shape (T,).
        mask: Its pixels. Shape (T, H, W).
    """

    frames: Frames
    labels: NDArray[np.bool_]
    mask: NDArray[np.bool_]


def hurried(
    clip: Frames,
    others: Sequence[Frames],  # noqa: ARG001
    draw: np.random.Generator,
    scales: Scales | None = None,  # noqa: ARG001
) -> Changed:
    """A part of the picture plays two to three times as fast, from a frame on: people hurry."""
    num = len(clip)
    factor = draw.uniform(2.0, 3.0)
    length = int(num / factor / 1.2)
    start = int(draw.integers(0, num - int(length * factor)))
    place = _busiest(clip[start : start + int(length * factor)], (70, 60), draw)
    frames, mask = clip.copy(), np.zeros(clip.shape, dtype=bool)
    fade = _faded((70, 60))
    for step in range(length):
        source = clip[start + int(step * factor)][place].astype(float)
        target = frames[start + step][place]
        frames[start + step][place] = np.round(fade * source + (1 - fade) * target)
        background = np.median(clip[::10, place[0], place[1]], axis=0)
        mask[start + step][place] = np.abs(source - background) > 25
    labels = np.zeros(num, dtype=bool)
    labels[start + 6 : start + length] = mask[start + 6 : start + length].sum(axis=(1, 2)) > 60
    return Changed(frames, labels, mask)


def gliding(
    clip: Frames,
    others: Sequence[Frames],
    draw: np.random.Generator,
    scales: Scales | None = None,
) -> Changed:
    """A figure cut from another clip crosses the picture two to four times as fast as walkers."""
    other = others[int(draw.integers(len(others)))]
    number = int(draw.integers(len(other)))
    size = (int(draw.integers(28, 44)), int(draw.integers(16, 26)))
    rows, columns = _busiest(other[number : number + 5], size, draw)
    patch = other[number, rows, columns].astype(float)
    return _crossing(clip, patch, draw.uniform(2.5, 5.0), draw, scales, size[0] / 2 + rows.start)


def foreign(
    clip: Frames,
    others: Sequence[Frames],  # noqa: ARG001
    draw: np.random.Generator,
    scales: Scales | None = None,
) -> Changed:
    """A patch of a photograph, of the size of a small cart, moves as fast as a walker."""
    photographs = load_sample_images().images
    photograph = photographs[int(draw.integers(len(photographs)))].mean(axis=2)
    height, width = int(draw.integers(24, 40)), int(draw.integers(24, 50))
    top = int(draw.integers(photograph.shape[0] - 2 * height))
    left = int(draw.integers(photograph.shape[1] - 2 * width))
    patch = photograph[top : top + 2 * height : 2, left : left + 2 * width : 2]
    return _crossing(clip, patch, draw.uniform(0.8, 1.6), draw, scales)


KINDS: Mapping[str, Callable[..., Changed]] = {
    "hurried": hurried,
    "gliding": gliding,
    "foreign": foreign,
}


def _crossing(
    clip: Frames,
    patch: NDArray[np.float64],
    speed: float,
    draw: np.random.Generator,
    scales: Scales | None = None,
    cut_at: float | None = None,
) -> Changed:
    """Move a patch on a straight line through the place where most is going on.

    With perspective it is as large and as fast as that place asks for: as it is where it was cut
    from, and else, if it comes from elsewhere, on average.
    """
    num, height, width = clip.shape
    rows, columns = _busiest(clip[::10], patch.shape, draw)
    if scales is not None:
        middle = (rows.start + rows.stop) // 2
        zoom = scales[middle] / (1.0 if cut_at is None else scales[int(cut_at)])
        patch = ndimage.zoom(patch, zoom, order=1)
        speed *= scales[middle]
    angle = draw.choice([0, np.pi]) + draw.normal(0, 0.25)
    half_way = num // 2 + int(draw.integers(-num // 6, num // 6 + 1))
    frames, mask = clip.copy(), np.zeros(clip.shape, dtype=bool)
    fade = _faded(patch.shape, round_=True)
    for number in range(num):
        distance = speed * (number - half_way)
        top = rows.start + distance * np.sin(angle)
        left = columns.start + distance * np.cos(angle)
        if not (0 <= top < height - patch.shape[0] - 1 and 0 <= left < width - patch.shape[1] - 1):
            continue
        here = (
            slice(int(top), int(top) + patch.shape[0] + 1),
            slice(int(left), int(left) + patch.shape[1] + 1),
        )
        offset = (top % 1, left % 1)
        moved, alpha = (
            ndimage.shift(np.pad(part, ((0, 1), (0, 1))), offset, order=1)
            for part in (patch * fade, fade)
        )
        frames[number][here] = np.round(moved + (1 - alpha) * frames[number][here])
        mask[number][here] = alpha > 0.5
    return Changed(frames, np.any(mask, axis=(1, 2)), mask)


def _faded(shape: tuple[int, int], *, round_: bool = False) -> NDArray[np.float64]:
    """1 in the middle of a rectangle, or of the ellipse in it, falling to 0 at its edge."""
    down, across = (np.abs(np.linspace(-1, 1, side)) for side in shape)
    far = np.hypot(down[:, None], across) if round_ else np.maximum(down[:, None], across)
    return np.clip((1 - far) * min(shape) / 2 / MARGIN, 0, 1)


def _busiest(
    frames: Frames, shape: tuple[int, int], draw: np.random.Generator
) -> tuple[slice, slice]:
    """One of the places of a rectangle in which most changes in a clip."""
    change = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=0)
    sums = ndimage.uniform_filter(change, shape, mode="constant")
    inner = sums[shape[0] : -shape[0], shape[1] : -shape[1]]
    places = np.argsort(inner, axis=None)[-inner.size // 20 :]
    row, column = np.unravel_index(int(draw.choice(places)), inner.shape)
    top, left = int(row) + shape[0] - shape[0] // 2, int(column) + shape[1] - shape[1] // 2
    return slice(top, top + shape[0]), slice(left, left + shape[1])
