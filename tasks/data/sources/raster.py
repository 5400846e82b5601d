"""Drawing in integers: anti-aliased limbs, rings and polygons, value noise, random numbers.

Nothing here touches floating point, whose vectorised results differ between processors: the same
seed gives the same pixels on every machine. Lengths are in ``UNIT``-ths of a pixel, y grows
downwards; angles are in ``TURN``-ths of a full turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Point = tuple[int, int]

UNIT = 64
"""Steps of the coordinate grid in one pixel."""
SAMPLES = 4
"""Samples in one pixel, along each axis."""
FULL = SAMPLES * SAMPLES
"""Coverage of a pixel that lies wholly inside a shape."""
TURN = 1024
ONE = 4096
"""The value of ``sine`` that stands for 1."""


def sine(angle: int) -> int:
    """Sine of ``angle``, in ONE-ths, by Bhaskara's rational formula (off by less than 0.002).

    Example:
        >>> sine(TURN // 4), sine(0), sine(-TURN // 4)
        (4096, 0, -4096)
    """
    half = TURN // 2
    angle %= TURN
    sign, x = (1, angle) if angle < half else (-1, angle - half)
    return sign * 16 * ONE * x * (half - x) // (5 * half * half - 4 * x * (half - x))


def step(start: Point, length: int, angle: int, direction: int = 1) -> Point:
    """Point at ``length`` from ``start``; angle 0 is down, a quarter turn is ``direction``."""
    dx, dy = length * sine(angle) // ONE, length * sine(angle + TURN // 4) // ONE
    return start[0] + direction * dx, start[1] + dy


class Draws:
    """Whole random numbers from the raw bit stream of PCG64, which NumPy keeps stable."""

    def __init__(self, *seed: int) -> None:
        self._bits = np.random.PCG64(list(seed))

    def between(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        return low + int(self._bits.random_raw()) % (high - low + 1)

    def one_of(self, choices: Sequence[int]) -> int:
        """One of the choices."""
        return choices[self.between(0, len(choices) - 1)]

    def field(self, height: int, width: int) -> Ints:
        """Independent whole numbers, bell-shaped around 0: deviation 209, range +-1020."""
        raw = self._bits.random_raw(height * width).astype(np.uint64).reshape(height, width)
        total = np.zeros((height, width), np.uint64)
        for shift in range(0, 64, 8):
            total += (raw >> np.uint64(shift)) & np.uint64(255)
        return total.astype(np.int64) - 1020


def value_noise(draws: Draws, height: int, width: int, cell_height: int, cell_width: int) -> Ints:
    """Smooth noise, about -1000 to 1000, that varies over cells of the given size."""
    lattice = draws.field(height // cell_height + 2, width // cell_width + 2)
    y, x = np.arange(height, dtype=np.int64), np.arange(width, dtype=np.int64)
    row, fy = y // cell_height, (y % cell_height)[:, None]
    column, fx = x // cell_width, (x % cell_width)[None, :]
    left, right = lattice[:, column], lattice[:, column + 1]
    mixed: Ints = left * (cell_width - fx) + right * fx
    total: Ints = mixed[row] * (cell_height - fy) + mixed[row + 1] * fy
    return total // (cell_height * cell_width)


@dataclass(frozen=True)
class Limb:
    """A rounded bar from ``a`` to ``b`` whose radius goes from ``radius_a`` to ``radius_b``."""

    a: Point
    b: Point
    radius_a: int
    radius_b: int
    gray: int
    relief: int = 16
    """How much lighter than ``gray`` its edge towards the sun is."""

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom."""
        return _around((self.a, self.b), max(self.radius_a, self.radius_b))

    def cover(self, x: Ints, y: Ints) -> tuple[NDArray[np.bool_], Ints]:
        """Which samples lie inside, and their gray values."""
        (ax, ay), (dx, dy) = self.a, (self.b[0] - self.a[0], self.b[1] - self.a[1])
        along = (x - ax) * dx + (y - ay) * dy
        along //= max((dx * dx + dy * dy) >> 8, 1)  # 0 at a, 256 at b
        np.minimum(np.maximum(along, 0, out=along), 256, out=along)
        off_x, off_y = x - ax - (dx * along >> 8), y - ay - (dy * along >> 8)
        radius = self.radius_a + ((self.radius_b - self.radius_a) * along >> 8)
        inside = off_x * off_x + off_y * off_y <= radius * radius
        towards = (3 * off_x + 2 * off_y) * self.relief
        return inside, self.gray - towards // (3 * max(self.radius_a, self.radius_b, 1))


@dataclass(frozen=True)
class Ring:
    """A circle of radius ``radius`` drawn with a line of width ``width``."""

    centre: Point
    radius: int
    width: int
    gray: int

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom."""
        return _around((self.centre,), self.radius + self.width)

    def cover(self, x: Ints, y: Ints) -> tuple[NDArray[np.bool_], Ints]:
        """Which samples lie inside, and their gray values."""
        square = (x - self.centre[0]) ** 2 + (y - self.centre[1]) ** 2
        inner, outer = self.radius - self.width // 2, self.radius + self.width // 2
        inside = (square <= outer * outer) & (square >= inner * inner)
        return inside, np.full(inside.shape, self.gray, np.int64)


@dataclass(frozen=True)
class Polygon:
    """A convex area, corners clockwise as seen; lighter at its top by ``relief``."""

    corners: tuple[Point, ...]
    gray: int
    relief: int = 10

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom."""
        return _around(self.corners, 0)

    def cover(self, x: Ints, y: Ints) -> tuple[NDArray[np.bool_], Ints]:
        """Which samples lie inside, and their gray values."""
        inside = np.ones((y.shape[0], x.shape[1]), np.bool_)
        for (ax, ay), (bx, by) in zip(
            self.corners, (*self.corners[1:], self.corners[0]), strict=True
        ):
            inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0
        _, top, _, bottom = self.box
        shade = (top + bottom - 2 * y) * self.relief // max(bottom - top, 1)
        return inside, np.broadcast_to(self.gray + shade, inside.shape)


Part = Limb | Ring | Polygon


class Sprite(NamedTuple):
    """A drawn figure at pixel (top, left) of the frame.

    Attributes:
        cover: Samples inside the figure, 0 to FULL for each pixel.
        gray: Sum of their gray values.
    """

    top: int
    left: int
    cover: Ints
    gray: Ints


def extent(parts: Sequence[Part]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a figure, in whole pixels; the last two are outside."""
    left, top, right, bottom = zip(*(part.box for part in parts), strict=True)
    return (
        min(left) // UNIT,
        min(top) // UNIT,
        max(right) // UNIT + 1,
        max(bottom) // UNIT + 1,
    )


def draw(parts: Sequence[Part]) -> Sprite:
    """Draw the parts one over the other, the last on top."""
    left, top, right, bottom = extent(parts)
    shape = ((bottom - top) * SAMPLES, (right - left) * SAMPLES)
    filled, gray = np.zeros(shape, np.bool_), np.zeros(shape, np.int64)
    spacing = UNIT // SAMPLES
    x = np.arange(shape[1], dtype=np.int64)[None, :] * spacing + left * UNIT + spacing // 2
    y = np.arange(shape[0], dtype=np.int64)[:, None] * spacing + top * UNIT + spacing // 2
    for part in parts:
        x0, y0, x1, y1 = part.box
        columns = slice((x0 - left * UNIT) // spacing, (x1 - left * UNIT) // spacing + 1)
        rows = slice((y0 - top * UNIT) // spacing, (y1 - top * UNIT) // spacing + 1)
        inside, shades = part.cover(x[:, columns], y[rows])
        filled[rows, columns] |= inside
        np.copyto(gray[rows, columns], shades, where=inside)
    np.minimum(np.maximum(gray, 0, out=gray), 255, out=gray)
    return Sprite(top, left, shrink(filled), shrink(gray))


def shrink(samples: NDArray[np.bool_] | Ints) -> Ints:
    """Sum of the samples of each pixel."""
    height, width = samples.shape[0] // SAMPLES, samples.shape[1] // SAMPLES
    blocks = samples.reshape(height, SAMPLES, width, SAMPLES)
    total: Ints = blocks.sum(axis=(1, 3), dtype=np.int64)
    return total


def _around(points: Sequence[Point], margin: int) -> tuple[int, int, int, int]:
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    return min(xs) - margin, min(ys) - margin, max(xs) + margin, max(ys) + margin
