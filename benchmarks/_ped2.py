"""Features of Ped2's clips for ``benchmarks.ped2_ablation``: learned, held out, changed, labelled.

Shapes: T = frames, D = features, h w = feature map, H W = frame.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks._clips import BATCH, EVERY, read_test, windows
from benchmarks._synthetic import KINDS
from models.contracts import WINDOW, Encoder
from models.encoders.slim import SlimTrunk
from models.functional.movement import movement
from models.functional.perspective import RowSpeeds, row_scales
from models.functional.speeds import speeds
from models.pretext.context_encoder import ContextEncoder

NUM_LEARNED = 12
"""Training clips that are learned from; the others are for choosing."""
DRAWS = 2
"""Copies of each held-out clip for each kind of anomaly."""


class Features(NamedTuple):
    """Feature maps of the judged frames of a clip, by where they come from; (T, D, h, w)."""

    trunk: dict[str, Tensor]
    moved: dict[str, Tensor]


class Shuffled:
    """Windows of clips in another order in each epoch."""

    def __init__(self, clips: list[NDArray[np.uint8]], step: int, seed: int) -> None:
        self._all = torch.cat([part for clip in clips for part in windows(clip, step)])
        self._draw = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return math.ceil(len(self._all) / BATCH)

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self._all), generator=self._draw)
        return (self._all[part] for part in torch.split(order, BATCH))


def trunks(clips: list[NDArray[np.uint8]], seed: int, *, quick: bool) -> dict[str, Encoder]:
    """One with random weights and one that filled holes in normal clips."""
    found: dict[str, Encoder] = {}
    for name in ("random", "pretext"):
        torch.manual_seed(seed)
        found[name] = SlimTrunk.Config().build()
    task = ContextEncoder.Config(epochs=1 if quick else 3, width=32, seed=seed)
    task.build(found["pretext"]).fit(Shuffled(clips, 40 if quick else 4, seed))
    return {
        name: trunk.eval().to(memory_format=torch.channels_last) for name, trunk in found.items()
    }


@torch.no_grad()
def features(clip: NDArray[np.uint8], known: dict[str, Encoder], step: int) -> Features:
    """Feature maps of every ``step``-th frame of a clip."""
    parts = list(windows(clip, step))
    trunk = {name: torch.cat([each(part) for part in parts]) for name, each in known.items()}
    rows, columns = trunk["random"].shape[-2:]
    field = known["random"].receptive_field
    ways = {"blocks": speeds, "gradients": movement}
    moved = {
        name: torch.cat([way(part, field, rows, columns) for part in parts])
        for name, way in ways.items()
    }
    return Features(trunk, moved)


Truth = tuple[Features, NDArray[np.bool_], NDArray[np.bool_]]
"""Features of a clip, which of its frames are anomalous, and which pixels."""


class Sets(NamedTuple):
    """What is judged: features and truth of clips."""

    learned: list[Features]
    normal: list[Features]
    synthetic: dict[str, list[Truth]]
    test: list[Truth]


def sets(folder: Path, known: dict[str, Encoder], train: list[NDArray[np.uint8]]) -> Sets:
    """Features of everything, once for all steps."""
    kept = slice(WINDOW - 1, None, EVERY)
    learned, held_out = train[:NUM_LEARNED], train[NUM_LEARNED:]
    synthetic: dict[str, list[Truth]] = {}
    for number, (kind, put) in enumerate(KINDS.items()):
        changed = [
            put(clip, learned, np.random.default_rng([number, place, draw]))
            for place, clip in enumerate(held_out)
            for draw in range(DRAWS)
        ]
        synthetic[kind] = [
            (features(each.frames, known, EVERY), each.labels[kept], each.mask[kept])
            for each in changed
        ]
    test = [
        (features(clip, known, EVERY), labels[kept], masks[kept])
        for clip, labels, masks in read_test(folder)
    ]
    return Sets(
        [features(clip, known, 2 * EVERY) for clip in learned],
        [features(clip, known, EVERY) for clip in held_out],
        synthetic,
        test,
    )


def line(clips: list[Tensor]) -> Tensor:
    """How speeds change from row to row, by the speeds (T, h, w) of clips."""
    seen = RowSpeeds()
    for clip in clips:
        seen.update(clip)
    return seen.line()


def perspective_gains(clips: list[Tensor]) -> list[float]:
    """Nats a moving place by which each normal clip is likelier if speeds depend on the row.

    The line is that of the other clips; the speed of what moves has an exponential distribution of
    which the line, or the mean, is the mean. Places are weighed by their speed, as for the line.
    """
    found = []
    for place, clip in enumerate(clips):
        others = [other for number, other in enumerate(clips) if number != place]
        scales = row_scales(line(others), clip.shape[1])[:, None]
        weights = torch.cat(others).double()
        mean = float(weights.square().sum() / weights.sum())
        speeds_, weight = clip.double() / mean, clip.double()
        nats = weight * (speeds_ - speeds_ / scales - scales.log())
        found.append(float(nats.sum() / weight.sum()))
    return found
