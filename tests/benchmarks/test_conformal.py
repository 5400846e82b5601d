import torch

from benchmarks.conformal import exchangeable, measured


def test_made_clips_stay_within_the_rate_by_clips_and_not_by_frames():
    found = exchangeable(0, 200)
    assert found["exchangeable_frames_05"] < 0.1
    assert found["exchangeable_clips_10_low"] <= 0.1
    assert found["exchangeable_pooled_05"] > found["exchangeable_frames_05"]


def test_real_clips_are_measured_on_clips_that_nothing_was_fitted_on():
    draw = torch.Generator().manual_seed(0)
    clips = [torch.randint(0, 256, (2, 6, 56, 64), generator=draw).byte() for _ in range(6)]
    found = measured(clips, 0)
    assert found["ped2_smallest_p_value"] == 1 / 3
    for name in ("ped2_frames_05", "ped2_pooled_20"):
        assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"]
    assert found["ped2_frames_20"] == 0
