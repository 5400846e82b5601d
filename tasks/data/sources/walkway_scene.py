"""The camera: people, light and sensor make a frame and its mask. H W = frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.data.sources.raster import FULL, UNIT, Draws, Ints, Part, draw, extent
from tasks.data.sources.walkway_layers import SUN_ACROSS, cast, paste, soften
from tasks.data.sources.walkway_setting import HEIGHT, WIDTH, background, occluders


class Actor(NamedTuple):
    """A figure in the frame; its ground row decides who hides whom."""

    ground: int
    """In UNIT-ths of a pixel."""
    parts: Sequence[Part]
    anomalous: bool = False


@dataclass(frozen=True)
class Light:
    """How one frame is lit and sensed."""

    gain: int
    """Exposure, in 1024ths."""
    shadow: int
    """Darkness of the shadows, 0 to 256."""
    noise: int
    """Deviation of the sensor noise on middle gray, in eighths of a gray value."""


class Scene:
    """The fixed camera over the walkway."""

    def __init__(self, seed: int) -> None:
        draws = Draws(seed, 0)
        self._ground = background(draws)
        self._occluders = occluders(draws, self._ground)

    def render(
        self, actors: Sequence[Actor], light: Light, draws: Draws
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """One frame, and the mask of what is anomalous and visible in it. Both (H, W)."""
        sprites = [(actor, draw(actor.parts)) for actor in actors if _near(actor.parts)]
        frame, mask = self._ground.copy(), np.zeros((HEIGHT, WIDTH), np.int64)
        shade = np.zeros((HEIGHT, WIDTH), np.int64)
        for actor, sprite in sprites:
            cast(shade, actor.ground // UNIT, sprite)
        frame -= frame * (soften(shade) * light.shadow // FULL) // 256
        layers = [(actor.ground, sprite, actor.anomalous) for actor, sprite in sprites]
        layers += [(ground, sprite, False) for ground, sprite in self._occluders]
        for _, sprite, anomalous in sorted(layers, key=lambda layer: layer[0]):
            paste(frame, mask, sprite, anomalous=anomalous)
        return _sense(frame, light, draws), mask * 2 >= FULL


def _near(parts: Sequence[Part]) -> bool:
    """Whether the figure or its shadow can be in the frame."""
    left, top, right, bottom = extent(parts)
    reach = (bottom - top) * SUN_ACROSS // 8 + 4
    return left < WIDTH and right + reach > 0 and top < HEIGHT and bottom > 0


def _sense(frame: Ints, light: Light, draws: Draws) -> NDArray[np.uint8]:
    """Expose the frame: lens blur, gain, noise that grows with the light, clipping."""
    padded = np.pad(frame, 1, mode="edge")
    rows = padded[:-2] + 6 * padded[1:-1] + padded[2:]
    lit = (rows[:, :-2] + 6 * rows[:, 1:-1] + rows[:, 2:]) * light.gain // 65536
    noise = draws.field(HEIGHT, WIDTH) * light.noise * (lit // FULL + 128) // (256 * 8 * 13)
    sensed: Ints = np.clip((lit + noise + FULL // 2) // FULL, 0, 255)
    return sensed.astype(np.uint8)
