import pytest

from models.errors import DataError
from tasks.data import layout
from tasks.data.clips import Arrangement, is_video
from tasks.data.versions import Entry


def arrange(*paths, pages=()):
    entries = [Entry(path, str(number)) for number, path in enumerate(paths)]
    known = {entry: dict(pages).get(entry.relpath, 1) for entry in entries}
    places = {entry: layout.place(entry.relpath) for entry in entries}
    return Arrangement(places, known, lambda _: 4, lambda entry: entry.relpath)


def test_frames_are_in_natural_order_with_their_masks():
    paths = [f"test/cut/c1/day/f{k}.png" for k in (10, 9)]
    [clip] = arrange(*paths, "ground_truth/cut/c1/day/f10.png").clips()
    assert (clip.name, clip.kind, clip.split) == ("cut/c1/day", "cut", "test")
    assert [frame.index for frame in clip.frames] == [9, 10]
    assert [bool(frame.mask) for frame in clip.frames] == [False, True]
    assert is_video([clip])


def test_a_video_has_masks_by_the_numbers_of_its_frames():
    paths = ("test/cut/a.mp4", "ground_truth/cut/a/002.png", "ground_truth/cut/a.txt")
    [clip] = arrange(*paths).clips()
    assert clip.is_video_file
    assert [bool(frame.mask) for frame in clip.frames] == [False, False, True, False]
    assert clip.label_file.relpath == "ground_truth/cut/a.txt"


def test_pages_are_frames_only_where_clips_are_expected():
    stack = "test/cut/a.tif"
    alone = arrange("train/good/1.png", stack, pages=[(stack, 4)])
    assert not alone.expects_clips
    assert [len(clip.frames) for clip in alone.clips()] == [1, 1]
    among = arrange("train/good/1.avi", stack, pages=[(stack, 4)])
    assert [(clip.is_video_file, len(clip.frames)) for clip in among.clips()] == [(True, 4)] * 2


@pytest.mark.parametrize("other", ["train/good/a.bmp", "train/good/a/1.png", "train/good/a.mp4"])
def test_two_of_one_name_are_refused(other):
    with pytest.raises(DataError, match="must have different names"):
        arrange("train/good/a.png", other).clips()
