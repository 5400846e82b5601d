import numpy as np
import pytest
import torch

from benchmarks.avenue import CHANGES, GAIN, START, Judge, Setting, choose, pixel_scales, split


def test_what_raises_the_figure_enough_is_kept_and_what_comes_next_starts_from_it():
    gains = {"perspective": GAIN, "appearance": 0.1, "frames_9": GAIN / 2}
    asked = {}

    def figure(name, setting):
        asked[name] = setting
        kept = 0.5 + gains["perspective"] * setting.config.perspective
        kept += gains["appearance"] * ("appearance" in setting.beside)
        return kept + gains["frames_9"] * (setting.frames == 9)

    chosen = choose(figure)
    assert list(asked) == ["start", *CHANGES]
    assert asked["votes_16"].config.perspective
    assert chosen == Setting(config=asked["perspective"].config, beside=("appearance",), frames=1)
    assert not START.config.perspective


def test_the_last_quarter_is_held_out():
    clips = [np.full((1, 1, 1), number, dtype=np.uint8) for number in range(16)]
    learned, held_out = split(clips)
    assert (len(learned), len(held_out)) == (12, 4)
    assert [len(part) for part in split(clips[:4])] == [3, 1]


def test_scales_of_rows_of_blocks_are_those_of_pixels():
    found = pixel_scales(torch.tensor([1.0, 0.25]), 24)
    assert found[:4] == pytest.approx(0.75)  # above the middle of the first row of blocks
    assert found[[11, 12]].mean() == pytest.approx(1.0)
    assert len(found) == 24


def test_frames_are_judged_by_the_sum_of_normed_scores():
    draw = np.random.default_rng(0)
    clips = [draw.integers(0, 256, (14, 48, 64), dtype=np.uint8) for _ in range(4)]
    judge = Judge(clips, seed=0)
    held_out = clips[-1]
    alone, both = Setting(), Setting(beside=("directions",))
    of_motion = judge.scores(alone, held_out, 3)
    assert of_motion.mean() == pytest.approx(0, abs=1e-6)
    of_both = judge.scores(both, held_out, 3)
    assert of_both.shape == (3,)
    assert of_both.mean() == pytest.approx(0, abs=1e-6)
    assert not torch.allclose(of_both, of_motion)
    smooth = judge.scores(Setting(frames=6), held_out, 3)
    assert smooth[1] == pytest.approx(of_motion[:2].mean())
