import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from models.errors import DataError, InvalidInputError
from tasks.data import snapshots, versions
from tasks.platform import workspace
from tasks.records import Training
from tasks.training.pretext import mine_tracks
from tasks.training.pretext.motion import Box
from tasks.training.pretext.track_cache import FOLDER
from tests.tasks import moving
from tests.tasks.pictures import write_stills

WINDOWS = Training(window=6)


@pytest.fixture
def snapshot(repository):
    moving.write(repository / "data" / "squares", clips=2)
    return snapshots.open_version(versions.add("squares"))


def mine(snapshot, training=WINDOWS, side=32, **options):
    return mine_tracks.mine(
        snapshot, snapshot.clips("train"), training, side=side, length=30, **options
    )


def true_box(square, t):
    row, column = moving.corner(square, t)
    return Box(column, row, moving.SQUARE, moving.SQUARE)


@pytest.mark.parametrize("name", mine_tracks.TRACKERS)
def test_a_tracker_keeps_to_a_square_for_thirty_frames(name, monkeypatch):
    monkeypatch.setattr(mine_tracks, "TRACKERS", (name,))
    clip = moving.frames(squares=(0,))
    (followed,) = mine_tracks.follow(clip, side=32, length=30, start=5)
    assert len(followed.boxes) == 30
    assert followed.seen_moving >= 25
    first = followed.boxes[0]
    assert first.overlap(true_box(0, 5)) > 0.5
    shifted = Box(first.left + 58, first.top, first.width, first.height)
    assert followed.boxes[-1].overlap(shifted) > 0.7


def test_every_square_of_every_clip_is_followed(snapshot):
    found = mine(snapshot)
    assert [track.clip for track in found] == ["good/00"] * 2 + ["good/01"] * 2
    for track in found:
        assert track.first == 5
        assert len(track.centres) == track.last - 5 + 1 >= 25
        assert track.moments[0] == 5
        assert track.moments[-1] == track.last
        assert track.patches.shape == (mine_tracks.MOMENTS, 6, 32, 32)
        assert abs(track.centres[-1] - track.centres[0])[1] == pytest.approx(
            moving.SPEED * (track.last - 5), abs=6
        )


def test_patches_are_windows_of_the_clip_around_the_track(snapshot):
    track = mine(snapshot)[0]
    clip = moving.frames(seed=0)
    for moment, patch in zip(track.moments, track.patches, strict=True):
        centre = track.centres[moment - track.first]
        top, left = (round(float(value) - 16) for value in centre)
        top, left = min(max(top, 0), 64), min(max(left, 0), 112)
        window = clip[moment - 5 : moment + 1, top : top + 32, left : left + 32]
        np.testing.assert_array_equal(patch, window)


def test_mining_again_gives_the_same(snapshot):
    first = mine(snapshot)
    shutil.rmtree(workspace.home() / FOLDER)
    for one, other in zip(first, mine(snapshot), strict=True):
        np.testing.assert_array_equal(one.centres, other.centres)
        np.testing.assert_array_equal(one.patches, other.patches)


def test_a_clip_that_was_mined_before_is_not_decoded_again(snapshot, monkeypatch):
    first = mine(snapshot)
    monkeypatch.setattr(snapshot, "read_clip", lambda *_: pytest.fail("decoded again"))
    for one, other in zip(first, mine(snapshot, replace(WINDOWS, seed=1)), strict=True):
        np.testing.assert_array_equal(one.patches, other.patches)


def test_other_patches_or_frames_are_mined_anew(snapshot):
    mine(snapshot)
    assert mine(snapshot, side=24)[0].patches.shape[-1] == 24
    assert mine(snapshot, Training(window=4))[0].patches.shape[1] == 4


def test_colour_frames_are_followed_too(snapshot):
    found = mine(snapshot, Training(channels=3))
    assert found[0].patches.shape == (mine_tracks.MOMENTS, 3, 32, 32)
    assert found[0].first == 1


def test_progress_sees_every_part_of_long_clips(snapshot, monkeypatch):
    monkeypatch.setattr(mine_tracks, "PART", 18)
    seen = []

    def progress(steps, *, total, description):
        for step in steps:
            seen.append((total, description))
            yield step

    found = mine(snapshot, progress=progress)
    assert seen == [(4, "Tracks")] * 4
    assert {track.first for track in found} == {5, 23}


def test_clips_without_movement_are_refused(repository):
    moving.write(repository / "data" / "still", clips=2, squares=())
    snapshot = snapshots.open_version(versions.add("still"))
    with pytest.raises(DataError, match="nothing to follow in 2 clips"):
        mine(snapshot)


def test_still_images_are_refused(repository):
    write_stills(repository / "data" / "stills")
    snapshot = snapshots.open_version(versions.add("stills"))
    with pytest.raises(DataError, match="something moves"):
        mine(snapshot, Training())


def test_frames_smaller_than_a_patch_are_refused(snapshot):
    with pytest.raises(InvalidInputError, match="97 x 97 pixels, got 96 x 144"):
        mine(snapshot, side=97)


def test_the_first_tracker_that_opencv_has_is_taken(monkeypatch):
    assert isinstance(mine_tracks.new_tracker(), cv2.TrackerKCF)
    monkeypatch.delattr(cv2, "TrackerKCF_create")
    assert isinstance(mine_tracks.new_tracker(), cv2.legacy.TrackerKCF)
    monkeypatch.delattr(cv2.legacy, "TrackerKCF_create")
    assert isinstance(mine_tracks.new_tracker(), cv2.TrackerCSRT)
    monkeypatch.setattr(mine_tracks, "TRACKERS", ("TrackerOfTheFuture",))
    with pytest.raises(DataError, match="opencv-contrib"):
        mine_tracks.new_tracker()


def test_a_track_that_changed_over_to_something_else_does_not_return():
    clip = moving.frames()
    one, other = mine_tracks.follow(clip, side=32, length=30, start=5)
    assert mine_tracks._returns(one, clip)
    assert mine_tracks._returns(other, clip)
    one.boxes[one.seen_moving - 1] = other.boxes[one.seen_moving - 1]
    assert not mine_tracks._returns(one, clip)
