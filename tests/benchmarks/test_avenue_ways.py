import numpy as np
import pytest
import torch

from benchmarks.avenue_ways import KEYS, Patches, Where, rows, together, twice


def test_ways_are_added_or_the_largest_counts_and_scores_averaged_over_frames():
    parts = [torch.tensor([1.0, 3.0, 2.0]), torch.tensor([0.0, 4.0, 5.0])]
    assert together(parts, 1, largest=False).tolist() == [1, 7, 7]
    assert together(parts, 1, largest=True).tolist() == [1, 4, 5]
    assert together(parts, 6, largest=False).tolist() == [1, 4, 7]


def test_every_combination_joins_its_own_ways():
    found = rows()
    assert {"motion", "motion_9", "largest_motion_appearance_25", "appearance"} <= set(found)
    values = {way: 2.0**power for power, way in enumerate(KEYS)}
    for name, join in found.items():
        used = [value for way, value in values.items() if way in name]
        wanted = max(used) if name.startswith("largest") else sum(used)
        assert join(lambda way: torch.tensor([values[way]]))[0] == pytest.approx(wanted)


def test_what_moves_where_nothing_moves_is_rare():
    def walk(row):
        clip = np.full((20, 48, 160), 40, dtype=np.uint8)
        for number, frame in enumerate(clip):
            frame[row : row + 16, 4 * number : 4 * number + 16] = 200
        return clip

    channel = Where().fit([walk(0)], [], 1)
    usual, elsewhere = channel.scores(walk(0), 1), channel.scores(walk(32), 1)
    assert usual.shape == (15,)
    assert elsewhere.min() > usual.max()


def test_what_looks_foreign_is_far_from_all_normal_patches():
    draw = np.random.default_rng(0)
    usual = draw.integers(90, 110, (60, 48, 64), dtype=np.uint8)
    foreign = usual[:30].copy()
    foreign[10:, 16:32, 16:32] = np.kron(np.eye(2), np.full((8, 8), 255))
    channel = Patches().fit([usual[:30]], [usual[30:]], 1)
    scores = channel.scores(foreign, 1)
    assert scores.shape == (25,)
    assert scores[5:].min() > scores[:5].max()
    assert twice(torch.zeros(2, 1, 3, 4)).shape == (2, 1, 6, 8)
