from dataclasses import replace

import numpy as np
import pytest
import torch

from models.errors import DataError
from tasks.data import snapshots, versions
from tasks.training.batches import Batches, identity, split_calibration
from tests.tasks.data.test_decoding import write_video
from tests.tasks.pictures import SIZE, picture, save, write_clips, write_stills

FRAME = SIZE[0] * SIZE[1]


@pytest.fixture
def clips(repository):
    """A snapshot of three training clips of nine frames."""
    write_clips(repository / "data" / "clips", clips=3)
    return snapshots.open_version(versions.add("clips"))


@pytest.fixture
def stills(repository):
    write_stills(repository / "data" / "stills", train=7)
    return snapshots.open_version(versions.add("stills"))


def rows(batches):
    """Every input of an epoch as one row."""
    return torch.cat([batch.flatten(1) for batch in batches])


def same_rows(first, second):
    return sorted(map(tuple, first.tolist())) == sorted(map(tuple, second.tolist()))


def test_an_input_is_the_consecutive_frames_up_to_the_one_that_it_describes(clips):
    clip = clips.clips("train")[1]
    batches = Batches(clips, [clip], batch_size=3, window=6)
    frames = torch.from_numpy(clips.read_clip(clip, None, 1)) / 255
    found = torch.cat(list(batches))
    assert found.dtype == torch.float32
    assert found.shape == (4, 6, *SIZE)
    for start in range(4):
        assert torch.equal(found[start], frames[start : start + 6])


def test_batches_are_the_same_each_time_they_are_iterated(clips):
    batches = Batches(clips, clips.clips("train"), batch_size=5, window=6)
    assert batches.num_images == 12
    assert len(batches) == 3
    assert [len(batch) for batch in batches] == [5, 5, 2]
    assert torch.equal(rows(batches), rows(batches))


def test_shuffling_is_another_order_in_each_epoch_and_the_same_for_the_same_seed(clips):
    train = clips.clips("train")
    plain = rows(Batches(clips, train, batch_size=5, window=6))
    shuffled = Batches(clips, train, batch_size=5, window=6, shuffle=True, seed=3)
    first, second = rows(shuffled), rows(shuffled)
    assert same_rows(first, plain)
    assert same_rows(second, plain)
    assert not torch.equal(first, plain)
    assert not torch.equal(first, second)
    again = Batches(clips, train, batch_size=5, window=6, shuffle=True, seed=3)
    assert torch.equal(rows(again), first)
    assert torch.equal(rows(again), second)
    other = Batches(clips, train, batch_size=5, window=6, shuffle=True, seed=4)
    assert not torch.equal(rows(other), first)


@pytest.mark.parametrize("memory", [FRAME, 10 * FRAME, 60 * FRAME])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_inputs_do_not_depend_on_the_memory(clips, memory, stride):
    train = clips.clips("train")
    options = {"batch_size": 4, "window": 3, "stride": stride}
    plain = Batches(clips, train, **options)
    tight = Batches(clips, train, **options, memory=memory)
    assert tight.num_images == plain.num_images == 3 * len(range(2, 9, stride))
    assert torch.equal(rows(tight), rows(plain))
    shuffled = Batches(clips, train, **options, memory=memory, shuffle=True)
    assert same_rows(rows(shuffled), rows(plain))


def test_decoded_frames_are_kept_only_up_to_the_memory(clips, monkeypatch):
    decoded = []
    read = snapshots.Snapshot.read_clip

    def counted(self, clip, *arguments):
        decoded.append(len(clip.frames))
        return read(self, clip, *arguments)

    train = clips.clips("train")
    roomy = Batches(clips, train, batch_size=4, window=6)
    tight = Batches(clips, train, batch_size=4, window=6, memory=40 * FRAME)
    tightest = Batches(clips, train, batch_size=4, window=6, memory=12 * FRAME)
    monkeypatch.setattr(snapshots.Snapshot, "read_clip", counted)
    for batches, expected in ((roomy, 27), (tight, 27), (tightest, 2 * 36)):
        decoded.clear()
        for _ in range(2):
            rows(batches)
            assert sum(frames.nbytes for frames in batches._kept.values()) <= 40 * FRAME
        assert sum(decoded) >= expected
        assert (sum(decoded) == 27) == (batches is not tightest)


def test_still_images_come_with_their_channels(stills):
    train = stills.clips("train")
    assert rows(Batches(stills, train, batch_size=4)).shape == (7, FRAME)
    colour = Batches(stills, train, batch_size=4, channels=3, image_size=(6, 8))
    assert next(iter(colour)).shape == (4, 3, 6, 8)
    assert colour.num_images == 7


def test_still_images_of_several_sizes_need_an_image_size(repository):
    folder = write_stills(repository / "data" / "mixed")
    save(folder / "train" / "good" / "009.png", picture(0, (20, 20)))
    snapshot = snapshots.open_version(versions.add("mixed"))
    train = snapshot.clips("train")
    with pytest.raises(DataError, match=r"got 12x16 and 20x20. Set image_size"):
        list(Batches(snapshot, train, batch_size=8))
    assert rows(Batches(snapshot, train, batch_size=8, image_size=(6, 8))).shape == (6, 48)


def test_a_long_video_file_is_decoded_in_parts(repository):
    folder = write_clips(repository / "data" / "filmed")
    write_video(folder / "train" / "good" / "09.avi", [picture(t, (16, 32)) for t in range(30)])
    snapshot = snapshots.open_version(versions.add("filmed"))
    film = [clip for clip in snapshot.clips("train") if clip.is_video_file]
    whole = Batches(snapshot, film, batch_size=8, window=6)
    parts = Batches(snapshot, film, batch_size=8, window=6, memory=40 * 16 * 32)
    assert len(parts._segments) > len(whole._segments)
    assert torch.equal(rows(parts), rows(whole))


def test_clips_that_are_too_short_give_no_inputs(clips):
    train = clips.clips("train")
    cut = replace(train[0], frames=train[0].frames[:5])
    assert Batches(clips, [cut, train[1]], batch_size=8, window=6).num_images == 4
    with pytest.raises(DataError, match=r"At least one clip must have 6 frames"):
        Batches(clips, [cut], batch_size=8, window=6)


def test_a_window_of_colour_frames_is_refused(clips):
    with pytest.raises(ValueError, match="must be gray"):
        Batches(clips, clips.clips("train"), batch_size=8, window=6, channels=3)


def test_calibration_holds_out_whole_clips_drawn_by_the_seed(stills):
    clips = stills.clips("train")
    train, held_out = split_calibration(clips, 0.3, seed=1, window=1)
    assert len(held_out) == 2
    assert sorted(train + held_out, key=lambda clip: clip.name) == list(clips)
    assert split_calibration(clips, 0.3, seed=1, window=1) == (train, held_out)
    draws = {split_calibration(clips, 0.3, seed=seed, window=1)[1] for seed in range(9)}
    assert len(draws) > 1


def test_a_clip_more_or_less_leaves_almost_all_others_where_they_were(repository):
    write_stills(repository / "data" / "many", train=40)
    clips = snapshots.open_version(versions.add("many")).clips("train")
    _, before = split_calibration(clips, 0.25, seed=0, window=1)
    for gone in clips:
        others = [clip for clip in clips if clip != gone]
        _, after = split_calibration(others, 0.25, seed=0, window=1)
        assert len(set(before) - set(after)) <= 1
        assert len(set(after) - set(before)) <= 1


def test_what_an_encoder_was_trained_on_is_not_held_out(stills):
    clips = stills.clips("train")
    train, held_out = split_calibration(clips, 0.3, seed=1, window=1)
    seen = {identity(clip) for clip in held_out}
    _, others = split_calibration(clips, 0.3, seed=1, window=1, seen=seen)
    assert len(others) == len(held_out)
    assert not set(others) & set(held_out)
    everything = {identity(clip) for clip in clips}
    assert split_calibration(clips, 0.3, seed=1, window=1, seen=everything) == (train, held_out)


def test_clips_that_show_the_same_are_on_one_side(stills):
    clips = stills.clips("train")
    alone, _ = split_calibration(clips, 0.3, seed=1, window=1)
    same = {clip.name: clip.name for clip in clips}
    assert split_calibration(clips, 0.3, seed=1, window=1, groups=same)[0] == alone
    for seed in range(9):
        groups = same | {clip.name: clips[0].name for clip in clips[:3]}
        parts = split_calibration(clips, 0.3, seed=seed, window=1, groups=groups)
        sides = [{clip in part for clip in clips[:3]} for part in parts]
        assert all(len(side) == 1 for side in sides)
        assert all(parts)
    with pytest.raises(DataError, match="need images that differ"):
        split_calibration(clips, 0.3, 0, 1, groups=dict.fromkeys(same, clips[0].name))


def test_an_identity_changes_with_name_bytes_and_extent(clips):
    clip = clips.clips("train")[0]
    frame = replace(clip.frames[0], entry=replace(clip.frames[0].entry, md5="0" * 32))
    others = [
        replace(clip, name="good/else"),
        replace(clip, frames=(frame, *clip.frames[1:])),
        replace(clip, frames=clip.frames[:-1]),
    ]
    assert identity(clip) == identity(replace(clip))
    assert len({identity(clip), *map(identity, others)}) == 4


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_neither_part_is_ever_empty(stills, share):
    train, held_out = split_calibration(stills.clips("train"), share, seed=0, window=1)
    assert train
    assert held_out


def test_a_single_clip_gives_its_last_part_with_a_gap_before(clips):
    clip = clips.clips("train")[0]
    (train,), (held_out,) = split_calibration([clip], 0.25, seed=0, window=3)
    assert train.frames == clip.frames[:3]
    assert held_out.frames == clip.frames[6:]


def test_too_little_for_two_parts_is_a_clear_error(clips):
    clip = clips.clips("train")[0]
    with pytest.raises(DataError, match="at least 18 frames"):
        split_calibration([clip], 0.2, seed=0, window=6)
    with pytest.raises(DataError, match="needs normal images in train/good"):
        split_calibration([], 0.2, seed=0, window=6)


@pytest.mark.parametrize("share", [0.0, 1.0, np.nan])
def test_the_calibration_share_is_checked(clips, share):
    with pytest.raises(ValueError, match=r"calibration_share must be in \(0, 1\)"):
        split_calibration(clips.clips("train"), share, seed=0, window=6)
