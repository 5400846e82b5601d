from itertools import chain

import numpy as np
import pytest
import torch

from models.errors import DataError
from tasks.training.pretext.mine_tracks import MOMENTS
from tasks.training.pretext.track_cache import Track
from tasks.training.pretext.track_pairs import GONE, TrackedPairs, differ


def track(clip="a", first=0, frames=20, row=0.0, value=0):
    """A track to the right whose patches say which track and which moment they are of."""
    patches = np.arange(MOMENTS, dtype=np.uint8) + 10 * value
    return Track(
        clip=clip,
        first=first,
        centres=np.stack([np.full(frames, row), 2.0 * np.arange(frames)], axis=1),
        moments=tuple(range(first, first + MOMENTS)),
        patches=np.tile(patches[:, None, None, None], (1, 6, 16, 16)),
    )


def values(batch):
    return (batch[:, :, 0, 0, 0] * 255).round().int().tolist()


def test_tracks_differ_only_if_they_do_for_sure():
    one = track()
    assert not differ(one, one)
    assert differ(one, track(clip="b"))
    assert differ(one, track(row=16.0))
    assert not differ(one, track(row=15.0))
    assert not differ(one, track(first=20, row=90.0))
    assert not differ(one, track(first=19 + GONE))
    assert differ(one, track(first=20 + GONE))
    assert differ(track(first=20 + GONE), one)


def test_a_pair_is_the_first_and_the_last_patch():
    pairs = TrackedPairs([track(value=0), track("b", value=1)], batch_size=8)
    (batch,) = pairs
    assert batch.shape == (2, 2, 6, 16, 16)
    assert batch.dtype == torch.float32
    assert values(batch) == [[0, MOMENTS - 1], [10, 10 + MOMENTS - 1]]


def test_no_batch_holds_tracks_that_may_be_the_same():
    tracks = [track("ab"[n % 2], first=30 * (n // 2), value=n) for n in range(6)]
    pairs = TrackedPairs(tracks, batch_size=4, shuffle=True, repeats=3)
    for _ in range(3):
        batches = [[first // 10 for first, _ in values(batch)] for batch in pairs]
        assert sorted(chain(*batches)) == sorted([*range(6)] * 3)
        for batch in batches:
            assert all(differ(tracks[m], tracks[n]) for m in batch for n in batch if m != n)
            assert len(batch) == len(set(batch)) <= 2


def test_batches_have_at_most_the_size_asked_for():
    tracks = [track(str(n), value=n) for n in range(10)]
    pairs = TrackedPairs(tracks, batch_size=4)
    assert [len(batch) for batch in pairs] == [4, 4, 2]
    assert len(pairs) == 3
    assert pairs.num_images == 10


def test_each_epoch_draws_other_moments_near_the_ends_by_the_seed():
    def drawn(seed):
        tracks = [track("a", value=0), track("b", value=1)]
        pairs = TrackedPairs(tracks, batch_size=8, shuffle=True, seed=seed)
        return [sorted(values(batch)) for _ in range(20) for batch in pairs]

    assert drawn(0) == drawn(0) != drawn(1)
    moments = {tuple(pair) for epoch in drawn(0) for pair in epoch if pair[0] < 10}
    assert len(moments) > 4
    assert all(early <= 2 and late >= MOMENTS - 3 for early, late in moments)


def test_tracks_that_may_all_be_the_same_are_refused():
    with pytest.raises(DataError, match="got 2 that may all be the same"):
        TrackedPairs([track(), track(first=30)], batch_size=4)
