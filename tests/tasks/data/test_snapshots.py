import shutil

import numpy as np
import pytest

from models.errors import DataError
from tasks.data import dvc_cache, snapshots, versions
from tests.tasks.data.test_decoding import write_video
from tests.tasks.pictures import SIZE, picture, save, write_clips, write_stills


@pytest.fixture
def snapshot_of(repository):
    """Function that makes ``data/set`` a version and opens it."""

    def open_set(name="set"):
        return snapshots.open_version(versions.add(name))

    return open_set


@pytest.fixture
def data(repository):
    return repository / "data" / "set"


def by_name(snapshot, split="test"):
    return {clip.name: clip for clip in snapshot.clips(split)}


def test_frames_of_clips_are_in_the_order_of_their_numbers(data, snapshot_of):
    for t in (10, 9, 2, 1):
        save(data / "train" / "good" / "b" / f"{t}.png", picture(t))
    save(data / "train" / "good" / "a" / "img_7_of_9.png", picture(0))
    save(data / "test" / "good" / "c" / "still.png", picture(0))
    snapshot = snapshot_of()
    assert list(by_name(snapshot, "train")) == ["good/a", "good/b"]
    clip = by_name(snapshot, "train")["good/b"]
    assert [frame.index for frame in clip.frames] == [1, 2, 9, 10]
    assert (snapshot.read_clip(clip, None, 1) == [picture(t) for t in (1, 2, 9, 10)]).all()
    assert by_name(snapshot, "train")["good/a"].frames[0].index == 9
    assert by_name(snapshot)["good/c"].frames[0].index == 0


def test_every_still_image_is_a_clip_of_one_frame(data, snapshot_of):
    write_stills(data)
    snapshot = snapshot_of()
    assert not snapshots.is_video(snapshot.clips("train"))
    assert len(snapshot.clips("train")) == 5
    scratched = by_name(snapshot)["scratch/000"]
    assert (scratched.kind, scratched.split, len(scratched.frames)) == ("scratch", "test", 1)
    assert scratched.frames[0].mask.relpath == "ground_truth/scratch/000_mask.png"
    assert snapshot.labels(scratched).tolist() == [True]
    masks = snapshot.read_masks(scratched, None)
    assert masks.shape == (1, *SIZE)
    assert masks.sum() == 12


def test_frames_of_a_clip_are_anomalous_where_their_mask_is_not_empty(data, snapshot_of):
    write_clips(data, marked=(3, 4, 5))
    snapshot = snapshot_of()
    assert snapshots.is_video(snapshot.clips("train"))
    cart, normal = by_name(snapshot)["cart/01"], by_name(snapshot)["good/01"]
    assert np.flatnonzero(snapshot.labels(cart)).tolist() == [3, 4, 5]
    masks = snapshot.read_masks(cart, None)
    assert masks.any(axis=(1, 2)).tolist() == snapshot.labels(cart).tolist()
    assert not snapshot.labels(normal).any()
    assert snapshot.read_masks(normal, None).shape == (9, *SIZE)
    assert not snapshot.read_masks(normal, None).any()


def test_a_frame_without_a_mask_is_normal_if_its_clip_has_masks(data, snapshot_of):
    write_clips(data, marked=(3, 4))
    (data / "ground_truth" / "cart" / "01" / "004.png").unlink()
    snapshot = snapshot_of()
    cart = by_name(snapshot)["cart/01"]
    assert np.flatnonzero(snapshot.labels(cart)).tolist() == [3]
    assert not snapshot.read_masks(cart, None)[4].any()


def test_a_label_file_marks_frames(data, snapshot_of):
    write_clips(data)
    shutil.rmtree(data / "ground_truth" / "cart" / "01")
    (data / "ground_truth" / "cart" / "01.txt").write_text("0\n1\n1\n0\n0\n0\n0\n0\n1\n")
    snapshot = snapshot_of()
    cart = by_name(snapshot)["cart/01"]
    assert np.flatnonzero(snapshot.labels(cart)).tolist() == [1, 2, 8]
    assert snapshot.read_masks(cart, None) is None


@pytest.mark.parametrize("content", ["0 1 1", "0 1 2 0 0 0 0 0 0", ""])
def test_a_label_file_that_does_not_fit_is_named(data, snapshot_of, content):
    write_clips(data)
    (data / "ground_truth" / "cart" / "01.txt").write_text(content)
    snapshot = snapshot_of()
    with pytest.raises(DataError, match=r"set/ground_truth/cart/01.txt must hold a 0 or 1"):
        snapshot.labels(by_name(snapshot)["cart/01"])


def test_without_ground_truth_every_frame_of_another_kind_is_anomalous(data, snapshot_of):
    write_clips(data)
    shutil.rmtree(data / "ground_truth")
    snapshot = snapshot_of()
    assert snapshot.labels(by_name(snapshot)["cart/01"]).all()
    assert snapshot.read_masks(by_name(snapshot)["cart/01"], None) is None


def test_a_video_file_is_a_clip(data, snapshot_of):
    write_clips(data)
    frames = [picture(t, (16, 32)) for t in range(8)]
    write_video(data / "test" / "cart" / "02.avi", frames)
    mask = np.ones((16, 32), bool)
    save(data / "ground_truth" / "cart" / "02" / "006.png", mask)
    snapshot = snapshot_of()
    clip = by_name(snapshot)["cart/02"]
    assert clip.is_video_file
    assert [frame.index for frame in clip.frames] == list(range(8))
    assert np.flatnonzero(snapshot.labels(clip)).tolist() == [6]
    assert snapshot.read_clip(clip, None, 1).shape == (8, 16, 32)
    assert snapshot.frame_size(clip) == (16, 32)


def test_clips_are_read_at_another_size_and_in_colour(data, snapshot_of):
    write_clips(data)
    snapshot = snapshot_of()
    clip = by_name(snapshot)["cart/01"]
    assert snapshot.read_clip(clip, (6, 8), 1).shape == (9, 6, 8)
    assert snapshot.read_clip(clip, None, 3).shape == (9, 3, *SIZE)
    assert snapshot.read_masks(clip, (6, 8)).shape == (9, 6, 8)
    assert snapshot.read_masks(by_name(snapshot)["good/01"], (6, 8)).shape == (9, 6, 8)


def test_a_frame_of_another_size_is_named(data, snapshot_of):
    write_clips(data)
    save(data / "test" / "cart" / "01" / "004.png", picture(0, (8, 8)))
    snapshot = snapshot_of()
    with pytest.raises(DataError, match=r"set/test/cart/01/004.png is 8x8"):
        snapshot.read_clip(by_name(snapshot)["cart/01"], None, 1)


def test_an_unreadable_image_is_named(data, snapshot_of):
    write_stills(data)
    (data / "test" / "good" / "000.png").write_bytes(b"")
    snapshot = snapshot_of()
    with pytest.raises(DataError, match=r"set/test/good/000.png must be an image"):
        snapshot.read_clip(by_name(snapshot)["good/000"], None, 1)


def test_two_images_of_one_name_are_refused(data, snapshot_of):
    write_stills(data)
    save(data / "test" / "good" / "000.bmp", picture(0))
    with pytest.raises(DataError, match=r"test/good/000.bmp and set/test/good/000.png"):
        snapshot_of().clips("test")


def test_other_files_are_entries_but_no_clips(data, snapshot_of):
    write_stills(data)
    (data / "license.txt").write_text("free")
    (data / "train" / "good" / "notes.txt").write_text("none")
    snapshot = snapshot_of()
    assert len(snapshot.entries) == 10
    assert len(snapshot.clips("train")) == 5


def test_a_version_is_read_from_dvc_and_not_from_the_working_copy(data, snapshot_of):
    write_stills(data)
    snapshot = snapshot_of()
    expected = picture((0, 1))
    shutil.rmtree(data)
    assert (snapshot.read_clip(by_name(snapshot)["good/000"], None, 1)[0] == expected).all()


def test_a_corrupt_object_is_never_read(data, snapshot_of):
    write_stills(data)
    snapshot = snapshot_of()
    clip = by_name(snapshot)["good/000"]
    path = dvc_cache.cached_path(clip.frames[0].entry.md5)
    path.chmod(0o644)
    save(path.with_suffix(".png"), picture(77)).rename(path)
    with pytest.raises(DataError, match=r"set/test/good/000.png must have md5"):
        snapshot.read_clip(clip, None, 1)
