"""Batches of tensors from the clips of a data version, and the held-out part for calibration.

Shapes: B = batch, C = window (consecutive gray frames of a clip) or channels, H W = image,
T = frames.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.errors import DataError
from tasks.data.snapshots import Clip, Snapshot

MEMORY = 1 << 30
"""Bytes of decoded frames that are kept; what does not fit is decoded again in every epoch."""


def identity(clip: Clip) -> str:
    """Name of exactly these frames of this clip: equal only if name, bytes and extent are."""
    described = [clip.name, *(f"{frame.index}:{frame.entry.md5}" for frame in clip.frames)]
    return hashlib.sha256("\n".join(described).encode()).hexdigest()[:32]


def split_calibration(
    clips: Sequence[Clip],
    share: float,
    seed: int,
    window: int,
    seen: Collection[str] = (),
    groups: Mapping[str, str] | None = None,
) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
    """Hold out a part of the normal clips, from which alone thresholds are set.

    Whole clips (or still images) are drawn by lot. The lot of each depends on its name and the seed
    alone, so that a few clips more or less leave almost all others where they were. A single clip
    gives its last part, and ``window`` frames between the parts are used by neither.

    Args:
        clips: Normal clips, sorted by name.
        share: Part to hold out, in (0, 1).
        seed: Same clips, share and seed: same parts.
        window: Consecutive frames that describe one frame.
        seen: ``identity`` of clips that an encoder was trained on. They are held out only where
            nothing else is left.
        groups: First clip of the group of each clip, by name: clips that show the same are held
            out together or not at all, see ``copies.groups``. None if all differ.

    Returns:
        The clips for training and those for calibration.

    Raises:
        DataError: If there is too little for two parts.
    """
    if not 0 < share < 1:
        raise ValueError(f"calibration_share must be in (0, 1), got {share}.")
    if len(clips) == 1:
        return _split_clip(clips[0], share, window)
    if not clips:
        raise DataError("Training needs normal images in train/good, got none. Add some.")
    wanted = min(max(round(share * len(clips)), 1), len(clips) - 1)
    together: dict[str, list[int]] = defaultdict(list)
    for place, clip in enumerate(clips):
        together[(groups or {}).get(clip.name, clip.name)].append(place)
    lots = {
        name: (any(identity(clips[place]) in seen for place in places), _lot(name, seed))
        for name, places in together.items()
    }
    chosen: set[int] = set()
    for name in sorted(together, key=lots.__getitem__):
        if len(chosen) < wanted and len(chosen) + len(together[name]) < len(clips):
            chosen.update(together[name])
    if not chosen:
        raise DataError(
            f"Training and calibration need images that differ, and all {len(clips)} images or "
            "clips of train/good show the same. Add others."
        )
    train = tuple(clip for place, clip in enumerate(clips) if place not in chosen)
    return train, tuple(clips[place] for place in sorted(chosen))


def _lot(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def _split_clip(clip: Clip, share: float, window: int) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
    total = len(clip.frames)
    held_out = max(round(share * total), window)
    kept = total - held_out - window
    if kept < window:
        raise DataError(
            f"A single clip must have at least {3 * window} frames to train and calibrate on, "
            f"got {total} in {clip.name} at calibration_share {share}. Add clips to train/good."
        )
    train = replace(clip, frames=clip.frames[:kept])
    return (train,), (replace(clip, frames=clip.frames[total - held_out :]),)


@dataclass(frozen=True)
class _Segment:
    """A part of a clip that is decoded at once."""

    clip: Clip
    ends: range
    """Positions in it of the frames that its inputs describe."""
    num_bytes: int


class Batches:
    """Inputs of a model, float32 in [0, 1] of shape (B, C, H, W), as often as they are iterated.

    An input is ``window`` consecutive gray frames and describes the last of them, or a still image
    with its channels. Decoded frames stay in memory as far as ``memory`` allows; beyond it, clips
    are taken in groups that fit, and shuffling is within and between groups.

    Attributes:
        num_images: Inputs in one epoch.
    """

    def __init__(  # noqa: PLR0913 - what an input is, and how inputs follow each other
        self,
        snapshot: Snapshot,
        clips: Sequence[Clip],
        *,
        batch_size: int,
        window: int = 1,
        channels: int = 1,
        image_size: tuple[int, int] | None = None,
        shuffle: bool = False,
        seed: int = 0,
        stride: int = 1,
        memory: int = MEMORY,
    ) -> None:
        """Prepare, without decoding more than the first frame of each clip.

        Args:
            snapshot: Where the clips are read.
            clips: Clips; one shorter than ``window`` gives no input.
            batch_size: Inputs in a batch; the last one may be smaller.
            window: Consecutive frames that describe one frame; 1 for still images.
            channels: Channels of a frame: 1 (gray) or 3 (colour, only with ``window`` 1).
            image_size: Height and width to resize to; None keeps the frames' own.
            shuffle: Draw the inputs in another order in each epoch.
            seed: Of that order, together with the number of the epoch.
            stride: Frames from one input of a clip to the next.
            memory: Bytes of decoded frames to keep.

        Raises:
            DataError: If no clip is long enough.
        """
        if window > 1 and channels != 1:
            raise ValueError(f"A window of {window} frames must be gray, got {channels} channels.")
        self._snapshot, self._clips = snapshot, tuple(clips)
        self._batch_size, self._window, self._channels = batch_size, window, channels
        self._image_size, self._memory = image_size, memory
        self._shuffle, self._seed, self._epoch = shuffle, seed, 0
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._segments = [s for clip in clips for s in self._cut(clip, stride)]
        self.num_images = sum(len(segment.ends) for segment in self._segments)
        if not self.num_images:
            raise DataError(
                f"At least one clip must have {window} frames, got {len(clips)} clips, all "
                "shorter. Add longer ones, or choose a recipe for still images."
            )

    def __len__(self) -> int:
        return math.ceil(self.num_images / self._batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        order = np.random.default_rng((self._seed, self._epoch))
        self._epoch += 1
        pending: list[NDArray[np.uint8]] = []
        for group in self._groups(order):
            for item in self._inputs(group, order):
                pending.append(item)
                if len(pending) == self._batch_size:
                    yield _to_tensor(pending)
                    pending = []
        if pending:
            yield _to_tensor(pending)

    def _groups(self, order: np.random.Generator) -> list[list[int]]:
        """Segments that are decoded together: all of them if they fit into memory."""
        places = range(len(self._segments))
        sequence = order.permutation(len(self._segments)).tolist() if self._shuffle else places
        groups: list[list[int]] = [[]]
        filled = 0
        for place in sequence:
            size = self._segments[place].num_bytes
            if groups[-1] and filled + size > self._memory:
                groups.append([])
                filled = 0
            groups[-1].append(place)
            filled += size
        return groups

    def _inputs(self, group: list[int], order: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
        for place in self._kept.keys() - set(group):
            del self._kept[place]
        pairs = [(place, end) for place in group for end in self._segments[place].ends]
        for index in order.permutation(len(pairs)) if self._shuffle else range(len(pairs)):
            place, end = pairs[index]
            frames = self._decoded(place)
            yield frames[end] if frames.ndim == 4 else frames[end - self._window + 1 : end + 1]

    def _decoded(self, place: int) -> NDArray[np.uint8]:
        if place not in self._kept:
            self._kept[place] = self._snapshot.read_clip(
                self._segments[place].clip, self._image_size, self._channels
            )
        return self._kept[place]

    def _cut(self, clip: Clip, stride: int) -> Iterator[_Segment]:
        """The clip, in parts of at most a quarter of the memory if it is longer."""
        frame_bytes = self._frame_bytes(clip) if len(clip.frames) > 1 else self._image_bytes
        most = max(self._memory // (4 * frame_bytes), self._window + stride)
        first = self._window - 1
        while first < len(clip.frames):
            start = first - self._window + 1
            part = replace(clip, frames=clip.frames[start : start + most])
            ends = range(self._window - 1, len(part.frames), stride)
            yield _Segment(part, ends, frame_bytes * len(part.frames))
            first = start + ends[-1] + stride

    @cached_property
    def _image_bytes(self) -> int:
        """Size of a still image, taken from the first: opening all would take too long."""
        still = next(clip for clip in self._clips if len(clip.frames) == 1)
        return self._frame_bytes(still)

    def _frame_bytes(self, clip: Clip) -> int:
        height, width = self._image_size or self._snapshot.frame_size(clip)
        return height * width * self._channels


def _to_tensor(inputs: list[NDArray[np.uint8]]) -> Tensor:
    for item in inputs:
        if item.shape != inputs[0].shape:
            sizes = ["x".join(map(str, array.shape[-2:])) for array in (inputs[0], item)]
            raise DataError(
                "All images must have one size unless the recipe sets image_size, got "
                f"{sizes[0]} and {sizes[1]}. Set image_size in the recipe."
            )
    return torch.from_numpy(np.stack(inputs)).float().div_(255)
