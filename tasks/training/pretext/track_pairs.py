"""Batches of tracked pairs, in which no two tracks may show the same thing.

Shapes: B = tracks, 2 = first and last patch, C = channels or window, S = side of a patch.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.errors import DataError
from tasks.training.pretext.mine_tracks import MOMENTS
from tasks.training.pretext.track_cache import Track

GONE = 100
"""Frames after which what comes into view is taken to be something else."""
EARLY = MOMENTS // 3
"""Moments at either end of a track from which a pair to train on is drawn."""


class TrackedPairs:
    """First and last patches of tracks, float32 in [0, 1] of shape (B, 2, C, S, S).

    The tracks of a batch are each other's negatives, so they all must show different things: see
    ``differ``. What does not fit into a batch goes into the next.

    Attributes:
        num_images: Pairs in one epoch.
        tracks: What the pairs are made of.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        *,
        batch_size: int,
        shuffle: bool = False,
        repeats: int = 1,
        seed: int = 0,
    ) -> None:
        """Find out which tracks differ.

        Args:
            tracks: At least two that differ.
            batch_size: Pairs in a batch, at most.
            shuffle: Draw in each epoch which tracks meet, and the moments near both ends of a track
                at which its patches are taken; else the first and the last patch, in order.
            repeats: Pairs of each track in an epoch.
            seed: Of what is drawn, together with the number of the epoch.

        Raises:
            DataError: If there are no two that differ.
        """
        self.tracks = tuple(tracks)
        self._batch_size, self._shuffle = batch_size, shuffle
        self._repeats, self._seed, self._epoch = repeats, seed, 0
        self.num_images = repeats * len(self.tracks)
        self._differ = [[differ(one, other) for other in self.tracks] for one in self.tracks]
        if not any(map(any, self._differ)):
            raise DataError(
                "Video triplets need at least 2 tracks that show different things (of two clips, "
                f"or in view at the same time, or {GONE} frames apart), got {len(self.tracks)} "
                "that may all be the same. Add clips."
            )

    def __len__(self) -> int:
        return len(self._packed(self._draws()))

    def __iter__(self) -> Iterator[Tensor]:
        draws = self._draws()
        self._epoch += 1
        for batch in self._packed(draws):
            pairs = np.stack([self._pair(self.tracks[place], draws) for place in batch])
            yield torch.from_numpy(pairs).float().div_(255)

    def _draws(self) -> np.random.Generator:
        return np.random.default_rng((self._seed, self._epoch))

    def _packed(self, draws: np.random.Generator) -> list[list[int]]:
        """Each track, as often as repeated, in the first batch in which it differs from all."""
        order = np.tile(np.arange(len(self.tracks)), self._repeats)
        batches: list[list[int]] = []
        open_: list[list[int]] = []
        for place in draws.permutation(order).tolist() if self._shuffle else order.tolist():
            differs = self._differ[place]
            fits = (batch for batch in open_ if all(differs[other] for other in batch))
            batch = next(fits, None)
            if batch is None:
                batch = []
                batches.append(batch)
                open_.append(batch)
            batch.append(place)
            if len(batch) == self._batch_size:
                open_.remove(batch)
        return batches

    def _pair(self, track: Track, draws: np.random.Generator) -> NDArray[np.uint8]:
        early, late = draws.integers(0, EARLY + 1, 2) if self._shuffle else (0, 0)
        return track.patches[[early, MOMENTS - 1 - late]]


def differ(one: Track, other: Track) -> bool:
    """Whether two tracks show different things for sure.

    They do in different clips; in the same frames, unless their patches ever overlap; and when one
    begins long after the other has ended.
    """
    if one.clip != other.clip:
        return True
    first, last = max(one.first, other.first), min(one.last, other.last)
    if first > last:
        return first - last > GONE
    ways = [each.centres[first - each.first : last + 1 - each.first] for each in (one, other)]
    apart = np.abs(ways[0] - ways[1]).max(axis=1)
    return bool(apart.min() >= one.patches.shape[-1])
