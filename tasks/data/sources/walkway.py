"""``walkway``: a generated surveillance data set, the same bytes on every machine.

One fixed camera over a walkway, 160x240 gray pixels, ten frames a second. The training clips hold
people who walk along it, alone or in pairs, either way. The test clips start like that; then a
cyclist, a runner, a cart, or somebody who crosses comes into view. A frame is anomalous when its
mask in ``ground_truth`` is not empty: the mask holds the visible pixels of the intruder, without
its shadow and without what people, the tree or the lamp post hide.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.data.sources import png
from tasks.data.sources.raster import ONE, TURN, UNIT, Draws, sine
from tasks.data.sources.walkway_body import RUN, Body, Dress, Gait, walk
from tasks.data.sources.walkway_figures import cart, cyclist, person, person_front
from tasks.data.sources.walkway_scene import Actor, Light, Scene
from tasks.data.sources.walkway_setting import DOORS, FACADE, HORIZON, WIDTH

if TYPE_CHECKING:  # the processes that render start faster without torch
    from models.contracts import Progress

SEED = 20150601
TRAIN_CLIPS, TRAIN_FRAMES = 15, 40
TEST_CLIPS, TEST_FRAMES = 2, 30
"""Clips of each kind, and frames of each clip."""
KINDS = ("cart", "crossing", "cyclist", "good", "runner")
MIN_VISIBLE = 40
"""A frame with fewer visible pixels of the intruder counts as normal; its mask is empty."""

MOST_WORKERS = 8
"""Processes that render at the same time."""
LANES = (60, 128)
"""Rows on which people walk, as a range."""
Move = Callable[[int], Actor]
"""Where somebody is in frame t, and in which pose."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip to be rendered."""

    split: str
    kind: str
    number: int
    frames: int

    @property
    def name(self) -> str:
        """``kind/number``, below its split."""
        return f"{self.kind}/{self.number:02d}"

    def draws(self) -> Draws:
        """The random numbers of this clip alone."""
        split = ("train", "test").index(self.split)
        return Draws(SEED, 1 + split, KINDS.index(self.kind), self.number)


def clips() -> tuple[Clip, ...]:
    """All clips in the order in which they are written."""
    train = [
        Clip(split="train", kind="good", number=number, frames=TRAIN_FRAMES)
        for number in range(1, TRAIN_CLIPS + 1)
    ]
    test = [
        Clip(split="test", kind=kind, number=number, frames=TEST_FRAMES)
        for kind in KINDS
        for number in range(1, TEST_CLIPS + 1)
    ]
    return (*train, *test)


def write(folder: Path, progress: "Progress | None" = None) -> None:
    """Write the data set in the canonical layout below ``folder``, on every core."""
    planned = clips()
    workers = min(os.cpu_count() or 1, MOST_WORKERS)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        written: Iterable[None] = pool.map(partial(_write_clip, folder), planned)
        if progress:
            written = progress(written, total=len(planned), description="walkway")
        for _ in written:
            pass


def _write_clip(folder: Path, clip: Clip) -> None:
    for t, (frame, mask) in enumerate(render(_scene(), clip)):
        _save(folder / clip.split / clip.name / f"{t:03d}.png", frame)
        if clip.kind != "good":
            _save(folder / "ground_truth" / clip.name / f"{t:03d}.png", mask)


@cache
def _scene() -> Scene:
    return Scene(SEED)


def render(scene: Scene, clip: Clip) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Yield frame and mask of a clip, each (H, W), in order."""
    draws = clip.draws()
    moves = _crowd(draws, clip.frames)
    if clip.kind != "good":
        moves.append(_INTRUDERS[clip.kind](draws, clip.number))
    for t, light in enumerate(_lights(draws, clip.frames)):
        frame, mask = scene.render([move(t) for move in moves], light, draws)
        yield frame, mask & (np.count_nonzero(mask) >= MIN_VISIBLE)


@dataclass(frozen=True, kw_only=True)
class Track:
    """A way along the walkway at constant speed, a little unsteady."""

    lane: int
    """Ground row."""
    direction: int
    """1 to the right, -1 to the left."""
    speed: int
    """UNIT-ths of a pixel in one frame."""
    start: int
    """Column in frame 0, in UNIT-ths of a pixel."""
    sway: int = 0
    """How far it leaves its lane, in UNIT-ths of a pixel."""
    phase: int = 0
    """Where in its sway, and in its gait, it starts."""

    def at(self, t: int) -> tuple[int, int]:
        """Ground point in frame t."""
        swayed = self.sway * sine(self.phase + 17 * t) // ONE
        return self.start + self.direction * self.speed * t, self.lane * UNIT + swayed


def _height(ground: int, tall: int) -> int:
    """Height in the frame of somebody who is ``tall``, in per mille of a grown person."""
    return (ground - HORIZON * UNIT) * tall // 5000


def _crowd(draws: Draws, frames: int) -> list[Move]:
    """The people of one clip, spread so that about as many are in view in every frame."""
    moves: list[Move] = []
    for _ in range(draws.between(4, 7)):
        lane, direction = draws.between(*LANES), draws.one_of((-1, 1))
        pace, middle = draws.between(82, 152), draws.between(-70, WIDTH + 70)
        moves.append(_walker(draws, lane, direction, pace, middle * UNIT, frames))
        if draws.between(0, 3) == 0:
            beside = lane + draws.one_of((-9, -7, 7, 9))
            lane = min(max(beside, LANES[0]), LANES[1])
            middle += draws.between(-6, 6)
            moves.append(_walker(draws, lane, direction, pace, middle * UNIT, frames))
    return moves


def _walker(draws: Draws, lane: int, direction: int, pace: int, middle: int, frames: int) -> Move:
    """Somebody who walks and passes column ``middle`` halfway through the clip."""
    tall = draws.between(610, 760) if draws.between(0, 9) == 0 else draws.between(890, 1090)
    speed = pace * (lane - HORIZON) // 200
    track = Track(
        lane=lane,
        direction=direction,
        speed=speed,
        start=middle - direction * speed * frames // 2,
        sway=draws.between(0, 90),
        phase=draws.between(0, TURN - 1),
    )
    return _on_foot(track, tall, Dress.drawn(draws), walk(30 + pace // 5), anomalous=False)


def _on_foot(track: Track, tall: int, dress: Dress, gait: Gait, *, anomalous: bool) -> Move:
    def move(t: int) -> Actor:
        ground = track.at(t)
        body = Body(_height(ground[1], tall), track.direction, dress)
        phase = track.phase + TURN * track.speed * t // gait.stride(body.height)
        return Actor(ground[1], person(ground, body, gait, phase), anomalous)

    return move


def _entering(draws: Draws, number: int, *, speed: tuple[int, int], length: int) -> Track:
    """A track from outside the frame that comes into view after seven to eleven frames.

    Args:
        draws: Random numbers.
        number: Of the clip; odd ones come from the left.
        speed: Range at the lower edge of the paving, in UNIT-ths of a pixel in one frame.
        length: Half the length of the figure, in pixels.
    """
    lane = draws.between(76, 122)
    direction = 1 if number % 2 else -1
    moved = draws.between(*speed) * (lane - HORIZON) // 200
    edge = -length * UNIT if direction > 0 else (WIDTH + length) * UNIT
    return Track(
        lane=lane,
        direction=direction,
        speed=moved,
        start=edge - direction * moved * draws.between(7, 11),
        sway=40,
        phase=draws.between(0, TURN - 1),
    )


def _runner(draws: Draws, number: int) -> Move:
    track = _entering(draws, number, speed=(320, 390), length=9)
    dress = Dress.drawn(draws, sporty=True)
    return _on_foot(track, draws.between(920, 1080), dress, RUN, anomalous=True)


def _rider(draws: Draws, number: int) -> Move:
    track = _entering(draws, number, speed=(400, 480), length=20)
    tall, dress = draws.between(940, 1060), Dress.drawn(draws, sporty=True)
    paint = draws.between(40, 200)

    def move(t: int) -> Actor:
        ground = track.at(t)
        body = Body(_height(ground[1], tall), track.direction, dress)
        phase = TURN * track.speed * t * 100 // (128 * body.height)
        return Actor(ground[1], cyclist(ground, body, phase, paint), anomalous=True)

    return move


def _driver(draws: Draws, number: int) -> Move:
    track = _entering(draws, number, speed=(430, 500), length=34)
    dress, paint = Dress.drawn(draws), draws.one_of((84, 120, 186))

    def move(t: int) -> Actor:
        ground = track.at(t)
        body = Body(_height(ground[1], 1000), track.direction, dress)
        phase = TURN * track.speed * t * 100 // (94 * body.height)
        return Actor(ground[1], cart(ground, body, phase, paint), anomalous=True)

    return move


def _crosser(draws: Draws, number: int) -> Move:
    """Out of a door and towards the camera, or from the lawn in front towards the facade."""
    tall, dress = draws.between(940, 1080), Dress.drawn(draws)
    phase, enters = draws.between(0, TURN - 1), draws.between(7, 9)
    if number % 2:
        return _out_of_door(draws.one_of(DOORS), tall, dress, phase, enters - 3)
    column, speed = draws.between(90, 170) * UNIT, draws.between(190, 205)

    def move(t: int) -> Actor:
        ground = (column, 210 * UNIT - speed * (t - enters))
        body = Body(_height(ground[1], tall), 1, dress)
        return Actor(ground[1], person_front(ground, body, phase + 98 * t, facing=False), True)

    return move


def _out_of_door(door: int, tall: int, dress: Dress, phase: int, enters: int) -> Move:
    aside, speed, turns = 14 * UNIT, 122, 6

    def move(t: int) -> Actor:
        inside = min(t - enters, turns)
        row = (FACADE - 1) * UNIT + max(t - enters - turns, 0) * speed
        ground = (door * UNIT - aside + aside * inside // turns, row)
        body = Body(_height(row, tall), 1, dress)
        if t - enters < turns:
            parts = person(ground, body, walk(50), phase + 90 * t)
        else:
            parts = person_front(ground, body, phase + 92 * t, facing=True)
        return Actor(row, parts, anomalous=True)

    return move


_INTRUDERS: dict[str, Callable[[Draws, int], Move]] = {
    "cart": _driver,
    "crossing": _crosser,
    "cyclist": _rider,
    "runner": _runner,
}


def _lights(draws: Draws, frames: int) -> list[Light]:
    """Slow change of light: a level of its own for each clip, and a drift within it."""
    level, drift = draws.between(970, 1078), draws.between(8, 30)
    phase, rate = draws.between(0, TURN - 1), draws.between(5, 15)
    sun, noise = draws.between(88, 128), draws.between(16, 22)
    waves = [sine(phase + rate * t) for t in range(frames)]
    return [
        Light(gain=level + drift * wave // ONE, shadow=sun + 14 * wave // ONE, noise=noise)
        for wave in waves
    ]


def _save(path: Path, image: NDArray[np.uint8] | NDArray[np.bool_]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png.encode(image))
