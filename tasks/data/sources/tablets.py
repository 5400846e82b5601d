"""``tablets``: generated photographs of pills on a steel tray, the same bytes on every machine.

192 x 192 pixels in colour. Each picture shows one scored tablet with its imprint, a little shifted
and turned, under light that varies. In the test pictures some are chipped, cracked, stained, have
lost their imprint, or have a hair lying on them. ``ground_truth`` holds the pixels of the defect.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.contracts import Progress, silent
from tasks.data.sources import png
from tasks.data.sources.raster import (
    FULL,
    ONE,
    TURN,
    UNIT,
    Draws,
    Ints,
    Limb,
    Point,
    draw,
    sine,
    step,
    value_noise,
)

SEED = 20220622
SIDE = 192
"""Pixels of a picture."""
RADIUS = 66
"""Of a tablet, in pixels."""
TRAIN, TEST_GOOD, OF_A_KIND = 60, 20, 8
"""Pictures of each place."""
SUB = 2
"""Samples in one pixel, along each axis."""
Bools = NDArray[np.bool_]


class Shot(NamedTuple):
    """How the tablet of one picture lies, in UNIT-ths of a pixel, and the samples around it.

    Attributes:
        centre: Of the tablet.
        turned: Angle of its score, in TURN-ths.
        across: Along the score, from the centre. Shape (H, W) of samples, as the next two.
        down: At right angles to it.
        apart: Square of the distance from the centre.
    """

    centre: Point
    turned: int
    across: Ints
    down: Ints
    apart: Ints


class Defect(NamedTuple):
    """What is wrong, in samples (H, W).

    Attributes:
        gone: Where the tablet is missing.
        blank: True if its imprint is missing.
        paint: Weight of a colour that lies over it, 0 to 256.
        colour: That colour.
        mask: Pixels to be found.
    """

    gone: Bools
    blank: bool
    paint: Ints
    colour: tuple[int, int, int]
    mask: Bools


def write(folder: Path, progress: Progress = silent) -> None:
    """Write ``train/good``, ``test/<kind>`` and ``ground_truth/<kind>`` below ``folder``."""
    planned = [("train/good", number) for number in range(TRAIN)]
    planned += [("test/good", number) for number in range(TEST_GOOD)]
    planned += [(f"test/{kind}", number) for kind in KINDS for number in range(OF_A_KIND)]
    for place, number in progress(planned, total=len(planned), description="tablets"):
        picture, mask = render(place, number)
        _save(folder / place / f"{number:03d}.png", picture)
        if mask.any():
            kind = place.partition("/")[2]
            _save(folder / "ground_truth" / kind / f"{number:03d}_mask.png", mask)


def render(place: str, number: int) -> tuple[NDArray[np.uint8], Bools]:
    """The picture (H, W, 3) with this number below ``place``, and the mask of its defect (H, W)."""
    split, _, kind = place.partition("/")
    draws = Draws(SEED, ("train", "test").index(split), ["good", *KINDS].index(kind), number)
    shot = _shot(draws)
    defect = KINDS[kind](draws, shot) if kind in KINDS else _sound(shot)
    light, noise = draws.between(955, 1045), draws.field(SIDE, SIDE)[..., None] // 90
    samples = _lit(_tablet_on_tray(draws, shot, defect), shot)
    paint = defect.paint[..., None]
    samples = (samples * (256 - paint) + np.array(defect.colour, np.int64) * paint) // 256
    picture = _shrunk(samples) * light // 1000 + noise
    mask = _shrunk(defect.mask.astype(np.int64)[..., None] * 2)[..., 0] > 0
    return np.clip(picture, 0, 255).astype(np.uint8), mask


def _shot(draws: Draws) -> Shot:
    centre = tuple((SIDE // 2) * UNIT + draws.between(-3 * UNIT, 3 * UNIT) for _ in range(2))
    turned = draws.between(-24, 24)
    place = (np.arange(SIDE * SUB, dtype=np.int64) * 2 + 1) * UNIT // (2 * SUB)
    x, y = place[None, :] - centre[0], place[:, None] - centre[1]
    sin, cos = sine(turned), sine(turned + TURN // 4)
    across, down = (x * cos + y * sin) // ONE, (y * cos - x * sin) // ONE
    return Shot((centre[0], centre[1]), turned, across, down, x * x + y * y)


def _disc(apart: Ints, radius: int) -> Bools:
    return apart < (radius * UNIT) ** 2


def _tablet_on_tray(draws: Draws, shot: Shot, defect: Defect) -> Ints:
    """Colours of all samples, (H, W, 3), before light."""
    side = SIDE * SUB
    brushed = (
        value_noise(draws, side, side, 3, 150) // 55 + value_noise(draws, side, side, 90, 90) // 70
    )
    tray = np.array((96, 101, 108), np.int64) + brushed[..., None]
    shadow = _disc((shot.across - 5 * UNIT) ** 2 + (shot.down - 6 * UNIT) ** 2, RADIUS)
    tray = np.where(shadow[..., None], tray * 6 // 10, tray)
    grain = (
        value_noise(draws, side, side, 5, 5) // 120 + value_noise(draws, side, side, 30, 30) // 160
    )
    specks = value_noise(draws, side, side, 4, 4) > 520
    tablet = np.array((224, 214, 196), np.int64) + grain[..., None]
    tablet = np.where(specks[..., None], tablet - np.array((8, 34, 52), np.int64), tablet)
    pressed = _score(shot)
    if not defect.blank:
        pressed |= _imprint(shot)
    tablet = np.where(pressed[..., None], tablet * 3 // 4, tablet)
    there = _disc(shot.apart, RADIUS) & ~defect.gone
    return np.where(there[..., None], tablet, tray)


def _score(shot: Shot) -> Bools:
    """The groove along which the tablet breaks."""
    inside: Bools = (np.abs(shot.down) < UNIT * 3 // 2) & _disc(shot.apart, RADIUS - 5)
    return inside


def _imprint(shot: Shot) -> Bools:
    """A ring above the groove, and two bars below it."""
    ring = shot.across**2 + (shot.down + 30 * UNIT) ** 2
    bars = np.abs(np.abs(shot.across) - 8 * UNIT) < 2 * UNIT
    bars &= np.abs(shot.down - 30 * UNIT) < 12 * UNIT
    inside: Bools = (_disc(ring, 12) & ~_disc(ring, 8)) | bars
    return inside


def _lit(samples: Ints, shot: Shot) -> Ints:
    """Light from the upper left, which the rounded rim of the tablet shows most."""
    rim = _disc(shot.apart, RADIUS) & ~_disc(shot.apart, RADIUS - 6)
    slope = -(shot.across + shot.down) // UNIT
    return samples + (slope // 9 + np.where(rim, slope // 4, 0))[..., None]


def _sound(shot: Shot) -> Defect:
    nowhere = np.zeros(shot.apart.shape, np.bool_)
    return Defect(nowhere, False, nowhere.astype(np.int64), (0, 0, 0), nowhere)


def _chipped(draws: Draws, shot: Shot) -> Defect:
    """A piece is broken off the rim."""
    x, y = step((0, 0), RADIUS * UNIT, draws.between(0, TURN - 1))
    size = draws.between(8, 17)
    rough = value_noise(draws, SIDE * SUB, SIDE * SUB, 7, 7) * size * UNIT // 9
    apart = (shot.across - x) ** 2 + (shot.down - y) ** 2 + rough * 8
    gone = _disc(apart, size) & _disc(shot.apart, RADIUS)
    return _sound(shot)._replace(gone=gone, mask=gone)


def _lined(draws: Draws, start: Point, width: int, bend: int) -> Ints:
    """Coverage of a line that wanders from a point of the tablet, 0 to 256."""
    angle, ends = draws.between(0, TURN - 1), [start]
    for _ in range(draws.between(4, 7)):
        angle += draws.between(-bend, bend)
        ends.append(step(ends[-1], 11 * UNIT, angle))
    limbs = [Limb(a, b, width, width, 0) for a, b in pairwise(ends)]
    sprite = draw(limbs)
    cover = np.zeros((SIDE, SIDE), np.int64)
    top, left = max(sprite.top, 0), max(sprite.left, 0)
    part = sprite.cover[top - sprite.top :, left - sprite.left :][: SIDE - top, : SIDE - left]
    cover[top : top + part.shape[0], left : left + part.shape[1]] = part
    grown: Ints = (cover * 256 // FULL).repeat(SUB, 0).repeat(SUB, 1)
    return grown


def _cracked(draws: Draws, shot: Shot) -> Defect:
    """A dark line through the tablet."""
    away = (draws.between(-30, 30) * UNIT, draws.between(-30, 30) * UNIT)
    start = (shot.centre[0] + away[0], shot.centre[1] + away[1])
    line = _lined(draws, start, UNIT * 3 // 4, 120) * _disc(shot.apart, RADIUS)
    return _sound(shot)._replace(paint=line * 3 // 4, colour=(70, 58, 48), mask=line > 64)


def _hairy(draws: Draws, shot: Shot) -> Defect:
    """A hair lies on it."""
    start = step(shot.centre, draws.between(10, 60) * UNIT, draws.between(0, TURN - 1))
    line = _lined(draws, start, UNIT * 5 // 8, 60)
    return _sound(shot)._replace(paint=line * 7 // 8, colour=(44, 32, 28), mask=line > 64)


def _stained(draws: Draws, shot: Shot) -> Defect:
    """Something was spilt on it."""
    x, y = step((0, 0), draws.between(8, 48) * UNIT, draws.between(0, TURN - 1))
    size = draws.between(6, 14)
    rough = value_noise(draws, SIDE * SUB, SIDE * SUB, 11, 11) * size * UNIT // 7
    blot = _disc((shot.across - x) ** 2 + (shot.down - y) ** 2 + rough * 8, size)
    blot &= _disc(shot.apart, RADIUS)
    colour = ((150, 96, 52), (92, 110, 150), (160, 150, 70))[draws.between(0, 2)]
    weight = draws.between(70, 150)
    return _sound(shot)._replace(paint=blot * np.int64(weight), colour=colour, mask=blot)


def _blank(_: Draws, shot: Shot) -> Defect:
    """The press left no imprint."""
    return _sound(shot)._replace(blank=True, mask=_imprint(shot))


KINDS: dict[str, Callable[[Draws, Shot], Defect]] = {
    "blank": _blank,
    "chip": _chipped,
    "crack": _cracked,
    "hair": _hairy,
    "stain": _stained,
}


def _shrunk(samples: Ints) -> Ints:
    """Means over the samples of each pixel, (H, W, C)."""
    height, width, channels = samples.shape
    blocks = samples.reshape(height // SUB, SUB, width // SUB, SUB, channels)
    total: Ints = blocks.sum(axis=(1, 3), dtype=np.int64)
    return total // (SUB * SUB)


def _save(path: Path, image: NDArray[np.uint8] | Bools) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png.encode(image))
