"""Ways to judge the frames of a camera, for ``benchmarks.avenue``: each learns from normal clips.

Shapes: T = judged frames, B = batch, D = features, N = places, h w = blocks of 8 x 8 pixels.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from benchmarks._clips import windows
from benchmarks._settings import PED2
from benchmarks._sources import digest
from benchmarks._synthetic import Frames
from models.encoders.pretrained import PretrainedTrunk
from models.encoders.slim import SlimTrunk
from models.functional.block_matching import block_flow
from models.functional.coreset import greedy_coreset
from models.functional.perspective import RowSpeeds, row_scales
from models.functional.receptive_field import ReceptiveField
from models.functional.speeds import BLOCK, CELL, CHANGED, FEW, speeds
from models.functional.windows import block_mean, window_mean
from models.one_class.motion_gaussian import MotionGaussian

BLOCKS = ReceptiveField(BLOCK, BLOCK, 0)
"""Places of which one block each decides."""
NUM_DIRECTIONS = 8
DIRECTIONS_AROUND, APPEARANCE_AROUND = 5, 3
"""Side in places of the square over which directions, and features of the trunk, are averaged."""
SAMPLED, MEMORY = 40_000, 1_000
"""Normal vectors among which those that are remembered are chosen, and how many."""
KEPT = Path(tempfile.gettempdir()) / "unseen-benchmark-avenue"


class Channel(Protocol):
    """One way to judge frames; the higher a score, the more anomalous."""

    def fit(self, learned: Sequence[Frames], held_out: Sequence[Frames], step: int) -> "Channel":
        """Learn from every ``step``-th frame of normal clips."""
        ...

    def scores(self, clip: Frames, step: int) -> Tensor:
        """Score of every ``step``-th frame from the sixth on. Shape (T,)."""
        ...


class Windows:
    """Windows of clips, as often as one iterates over them."""

    def __init__(self, clips: Sequence[Frames], step: int) -> None:
        self._clips, self._step = clips, step

    def __iter__(self) -> Iterator[Tensor]:
        """Batches of one clip each."""
        for clip in self._clips:
            yield from windows(clip, self._step)


@dataclass
class Motion:
    """The detector of the recipe ``ped2`` on an untrained trunk."""

    config: MotionGaussian.Config = PED2
    seed: int = 0

    def fit(self, learned: Sequence[Frames], held_out: Sequence[Frames], step: int) -> "Motion":
        """Fit the Gaussian."""
        torch.manual_seed(self.seed)
        self._detector = self.config.build(SlimTrunk.Config().build())
        self._detector.fit(Windows(learned, step), Windows(held_out, step))
        return self

    def scores(self, clip: Frames, step: int) -> Tensor:
        """Image scores."""
        return torch.cat([self._detector(part).image_score for part in windows(clip, step)])


@dataclass
class Nearest:
    """The largest distance of a moving place of a frame to the nearest normal moving place."""

    describe: Callable[[Frames, int, Tensor], "Places"]
    _line: Tensor = field(default_factory=lambda: torch.zeros(2))

    def fit(
        self,
        learned: Sequence[Frames],
        held_out: Sequence[Frames],  # noqa: ARG002
        step: int,
    ) -> "Nearest":
        """Remember a coreset of the places of normal clips."""
        self._line = line(learned, step)
        seen = torch.cat([self.describe(clip, step, self._line).vectors for clip in learned])
        chosen = torch.randperm(len(seen), generator=torch.Generator().manual_seed(0))[:SAMPLED]
        sample = seen[chosen].float()
        self._memory = sample[greedy_coreset(sample, MEMORY)]
        return self

    def scores(self, clip: Frames, step: int) -> Tensor:
        """Largest distance in each frame; 0 where nothing moves."""
        places = self.describe(clip, step, self._line)
        parts = torch.split(places.vectors.float(), 4096)
        distances = [torch.cdist(part, self._memory).amin(dim=1) for part in parts]
        found = torch.zeros(places.num_frames)
        return found.scatter_reduce(0, places.frames, torch.cat(distances), "amax")


class Places(NamedTuple):
    """Vectors (N, D) of moving places, the frame of each (N,), and the number of frames."""

    vectors: Tensor
    frames: Tensor
    num_frames: int


def appearance(clip: Frames, step: int, _: Tensor) -> Places:
    """What a trunk with ImageNet's weights sees where something moves, in the newest frame."""
    KEPT.mkdir(parents=True, exist_ok=True)
    name = hashlib.blake2b(
        clip.tobytes() + f"{clip.shape} {step} {digest(__name__)}".encode(), digest_size=16
    )
    file = KEPT / f"{name.hexdigest()}.pt"
    if not file.is_file():
        torch.save(tuple(_appearance(clip, step)), file)
    return Places(*torch.load(file, weights_only=True))


@torch.no_grad()
def _appearance(clip: Frames, step: int) -> Places:
    return _moving_places(
        (window_mean(_trunk()(part[:, -1:]), APPEARANCE_AROUND), moving(part))
        for part in windows(clip, step)
    )


def directions(clip: Frames, step: int, line_: Tensor) -> Places:
    """How fast what is around a place moves in each of eight directions, against its row."""
    return _moving_places((_directions(part, line_), moving(part)) for part in windows(clip, step))


def _directions(images: Tensor, line_: Tensor) -> Tensor:
    cells = block_mean(images[:, 2:].contiguous(), CELL)
    middle, last = ((cells[:, t] + cells[:, t + 1]) / 2 for t in (0, 2))
    flow, there = block_flow(middle, last) * (CELL / 2), moving(images)
    scales = row_scales(line_, flow.shape[2]).to(flow)[:, None]
    angle = torch.atan2(flow[:, 1], flow[:, 0])
    number = (angle * (NUM_DIRECTIONS / (2 * torch.pi))).round().long() % NUM_DIRECTIONS
    speed = flow.square().sum(dim=1).sqrt() / scales * there
    bins = torch.nn.functional.one_hot(number, NUM_DIRECTIONS).movedim(-1, 1) * speed[:, None]
    sums = window_mean(torch.cat([bins, there[:, None]], dim=1), DIRECTIONS_AROUND)
    return sums[:, :-1] / (sums[:, -1:] + FEW)


def moving(images: Tensor) -> Tensor:
    """1 where a block changes from the first frame of a window to the last, else 0; (B, h, w)."""
    change = block_mean((images[:, 5:] - images[:, :1]).abs(), BLOCK)[:, 0]
    return (change > CHANGED).to(images)


def _moving_places(parts: Iterator[tuple[Tensor, Tensor]]) -> Places:
    vectors, frames, first = [], [], 0
    for features, there in parts:
        where = there.nonzero()
        vectors.append(features.movedim(1, -1)[tuple(where.T)].half())
        frames.append(where[:, 0] + first)
        first += len(features)
    return Places(torch.cat(vectors), torch.cat(frames), first)


def line(clips: Sequence[Frames], step: int) -> Tensor:
    """How speeds change from one row of blocks to the next in normal clips."""
    seen = RowSpeeds()
    for part in Windows(clips, step):
        rows, columns = (-(-side // BLOCK) for side in part.shape[-2:])
        seen.update(speeds(part, BLOCKS, rows, columns)[:, 0])
    return seen.line()


@lru_cache(maxsize=1)
def _trunk() -> PretrainedTrunk:
    return PretrainedTrunk.Config().build().load_pretrained()
