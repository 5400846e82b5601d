"""What the camera always sees: facade, lawn, paving and kerbs; lamp post and tree in front.

The ground is drawn with SAMPLES samples along each axis of a pixel: ``y`` (H, 1) and ``x`` (1, W)
count samples. H W = frame, after ``shrink``.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.data.sources.raster import (
    FULL,
    SAMPLES,
    UNIT,
    Draws,
    Ints,
    Limb,
    Part,
    Point,
    Polygon,
    Sprite,
    draw,
    shrink,
    value_noise,
)
from tasks.data.sources.walkway_layers import cast, overlap, paste, soften

HEIGHT, WIDTH = 160, 240
HORIZON = -75
"""Row of the horizon, above the frame: a person at row y is (y - HORIZON) / 5 pixels tall."""
FACADE, FAR_KERB, NEAR_KERB = 31, 47, 136
"""Rows: foot of the facade, upper and lower edge of the paving."""
DOORS = (84, 168)
"""Columns of the middle of the doors in the facade."""


def occluders(draws: Draws, ground: Ints) -> tuple[tuple[int, Sprite], ...]:
    """What people can be behind, with its ground row in UNIT-ths of a pixel."""
    return (
        (FACADE * UNIT, _facade_opaque(ground)),
        (139 * UNIT, draw(_lamp_post())),
        (150 * UNIT, _tree(draws)),
    )


def _grid(samples: int) -> tuple[Ints, Ints]:
    """Rows (H, 1) and columns (1, W) of the frame, at so many samples in a pixel."""
    rows, columns = np.arange(HEIGHT * samples), np.arange(WIDTH * samples)
    return rows.astype(np.int64)[:, None], columns.astype(np.int64)[None, :]


def background(draws: Draws) -> Ints:
    """Everything that nobody walks behind, with its shadows; gray values times FULL."""
    y, x = _grid(SAMPLES)
    picture = np.where(y < FACADE * SAMPLES, _facade(draws, y, x), _ground(draws, y, x))
    picture += value_noise(draws, y.size, x.size, 160, 240) // 120
    frame = shrink(np.clip(picture, 0, 255))
    furniture = ((52, draw(_bench((128, 52)))), (53, draw(_bin((36, 53)))))
    shade = _crown_shadow(draws)
    for row, sprite in (*furniture, (139, draw(_lamp_post()))):
        cast(shade, row, sprite)
    frame -= frame * soften(soften(shade)) * 6 // (FULL * FULL)
    for _, sprite in furniture:
        paste(frame, np.zeros_like(frame), sprite, anomalous=False)
    return frame


def _ground(draws: Draws, y: Ints, x: Ints) -> Ints:
    """Lawn, paving, the two kerbs, and the paths to the doors."""
    lawn, paving = _lawn(draws, y.size, x.size), _paving(draws, y, x)
    paved = (y >= FAR_KERB * SAMPLES) & (y < NEAR_KERB * SAMPLES)
    picture = np.where(paved, paving, lawn)
    for top, bottom, gray in ((FAR_KERB - 2, FAR_KERB + 2, 176), (NEAR_KERB, NEAR_KERB + 5, 182)):
        stone = gray - 54 * (y - bottom * SAMPLES > -6) + draws.field(y.size, x.size) // 90
        seam = (x + (y - 320) * (x - x.size // 2) // 1500) % 88 < 3
        inside = (y >= top * SAMPLES) & (y < bottom * SAMPLES)
        picture = np.where(inside, stone - 60 * seam, picture)
    below = y - FACADE * SAMPLES
    for door in DOORS:
        path = np.abs(x - door * SAMPLES) < 5 * SAMPLES + below // 4
        path &= (below >= 0) & (y < (FAR_KERB - 2) * SAMPLES)
        picture = np.where(path, 148 + draws.field(y.size, x.size) // 70, picture)
    return picture


def _crown_shadow(draws: Draws) -> Ints:
    """Dappled shade of the tree, as coverage."""
    y, x = _grid(1)
    gaps = value_noise(draws, HEIGHT, WIDTH, 9, 13) + value_noise(draws, HEIGHT, WIDTH, 4, 6) // 2
    reached = (x - 226) ** 2 + 4 * (y - 112) ** 2 < 5200
    return np.where(reached & (gaps > -60), FULL // 2, 0).astype(np.int64)


def _lawn(draws: Draws, height: int, width: int) -> Ints:
    """Grass: patches, tufts and blades."""
    patches = value_noise(draws, height, width, 60, 90) // 26
    tufts = value_noise(draws, height, width, 9, 7) // 16
    blades = value_noise(draws, height, width, 5, 2) // 12
    return 92 + patches + tufts + blades


def _paving(draws: Draws, y: Ints, x: Ints) -> Ints:
    """Slabs in a running bond, in perspective, with joints, stains and grit."""
    below = y - HORIZON * SAMPLES
    depth = 30_000_000 // below
    course, into_course = depth // 2200, depth % 2200
    across = (x - WIDTH * SAMPLES // 2) * 65536 // below + 1_000_000 + (course % 2) * 4200
    slab, into_slab = across // 8400, across % 8400
    shades = draws.field(64, 512)
    gray: Ints = 160 + shades[course % 64, slab % 512] // 26
    gray += value_noise(draws, y.size, x.size, 70, 110) // 22
    gray += value_noise(draws, y.size, x.size, 12, 22) // 50
    gray += value_noise(draws, y.size, x.size, 3, 4) // 40
    gray += draws.field(y.size, x.size) // 40
    joint = (into_course < 190) | (into_slab < 330)
    lit_edge = (into_course > 2010) & ~joint
    gray += 10 * lit_edge - 46 * joint
    return gray


def _facade(draws: Draws, y: Ints, x: Ints) -> Ints:
    """A brick wall with windows and two doors."""
    course = y // 9
    brick = (x + (course % 2) * 11) // 22
    shades = draws.field(64, 256)
    gray = 104 + shades[course % 64, brick % 256] // 22 + draws.field(y.size, x.size) // 60
    gray -= 26 * ((y % 9 < 2) | ((x + (course % 2) * 11) % 22 < 2))
    gray = np.where(y >= (FACADE - 4) * SAMPLES, 84 + draws.field(y.size, x.size) // 70, gray)
    for middle in (12, 48, 126, 208, 234):
        frame = (np.abs(x - middle * SAMPLES) < 44) & (y < 70)
        pane = (np.abs(x - middle * SAMPLES) < 37) & (y < 62)
        bars = (np.abs(x - middle * SAMPLES) < 3) | (np.abs(y - 30) < 2)
        glass = 46 + (x - middle * SAMPLES + 2 * (62 - y)) // 4
        gray = np.where(frame, 190, gray)
        gray = np.where(pane, np.where(bars, 180, glass), gray)
    for door in DOORS:
        frame = (np.abs(x - door * SAMPLES) < 38) & (y >= 12)
        opening = _opening(door, y, x)
        gray = np.where(frame, 196, gray)
        gray = np.where(opening, 34 + (y - 20) // 5, gray)
    return gray


def _opening(door: int, y: Ints, x: Ints) -> NDArray[np.bool_]:
    return (np.abs(x - door * SAMPLES) < 31) & (y >= 20) & (y < FACADE * SAMPLES)


def _facade_opaque(ground: Ints) -> Sprite:
    """The facade as something to stand behind, except in its doors."""
    y, x = _grid(SAMPLES)
    opening = np.logical_or.reduce([_opening(door, y, x) for door in DOORS])
    cover = shrink(~opening)[:FACADE]
    return Sprite(0, 0, cover, ground[:FACADE] * cover // FULL)


def _lamp_post() -> list[Part]:
    x, foot = 62 * UNIT, 139 * UNIT
    return [
        Limb((x, foot - 14 * UNIT), (x, -9 * UNIT), 100, 76, 66, 34),
        Limb((x, foot), (x, foot - 14 * UNIT), 190, 150, 58, 34),
        Limb((x, foot - 15 * UNIT), (x, foot - 16 * UNIT), 200, 200, 74, 30),
    ]


def _tree(draws: Draws) -> Sprite:
    """Trunk in the foreground, and the part of the crown that the camera sees."""
    x, foot = 212 * UNIT, 151 * UNIT
    trunk = draw(
        [
            Limb((x, foot), (x + 90, 60 * UNIT), 5 * UNIT, 230, 62, 26),
            Limb((x + 90, 60 * UNIT), (x + 160, -4 * UNIT), 230, 200, 60, 26),
            Limb((x + 100, 40 * UNIT), (x - 20 * UNIT, 12 * UNIT), 120, 60, 58, 20),
            Limb((x - 130, foot), (x - 9 * UNIT, foot + 70), 150, 60, 56, 20),
            Limb((x + 130, foot), (x + 9 * UNIT, foot + 60), 150, 60, 56, 20),
        ]
    )
    cover, gray = np.zeros((HEIGHT, WIDTH), np.int64), np.zeros((HEIGHT, WIDTH), np.int64)
    window, part = overlap(cover, trunk.top, trunk.left, trunk.cover.shape)
    cover[window] = trunk.cover[part]
    bark = value_noise(draws, HEIGHT, WIDTH, 7, 2) // 40
    gray[window] = np.clip(trunk.gray[part] + bark[window] * trunk.cover[part], 0, None)
    rows, columns = _grid(1)
    leaves = value_noise(draws, HEIGHT, WIDTH, 3, 4) + value_noise(draws, HEIGHT, WIDTH, 9, 12)
    reach = ((columns - 222) ** 2 + 3 * (rows + 4) ** 2) // 3
    leaf = np.clip((leaves + 760 - reach) // 20, 0, FULL).astype(np.int64)
    tone = 62 + value_noise(draws, HEIGHT, WIDTH, 2, 3) // 18 - rows // 3
    gray = gray * (FULL - leaf) // FULL + leaf * np.clip(tone, 12, 140)
    return Sprite(0, 0, cover * (FULL - leaf) // FULL + leaf, gray)


def _bench(foot: Point) -> list[Part]:
    x, y = foot[0] * UNIT, foot[1] * UNIT
    legs: list[Part] = [
        Limb((x + side * UNIT, y), (x + side * UNIT, y - 8 * UNIT), 34, 34, 46)
        for side in (-10, 10)
    ]
    slats = [
        Polygon(
            (
                (x - 13 * UNIT, y - top),
                (x + 13 * UNIT, y - top),
                (x + 13 * UNIT, y - top + 76),
                (x - 13 * UNIT, y - top + 76),
            ),
            gray,
        )
        for top, gray in ((9 * UNIT, 122), (7 * UNIT + 20, 116), (4 * UNIT + 30, 134))
    ]
    return [*legs, *slats]


def _bin(foot: Point) -> list[Part]:
    x, y = foot[0] * UNIT, foot[1] * UNIT
    return [
        Limb((x, y - 3 * UNIT), (x, y - 7 * UNIT), 210, 230, 70, 30),
        Limb((x - 2 * UNIT, y - 10 * UNIT), (x + 2 * UNIT, y - 10 * UNIT), 80, 80, 46, 10),
    ]
