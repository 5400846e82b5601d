import pytest

from tasks.data import layout
from tasks.data.layout import Place


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("train/good/a.PNG", Place("image", "train", "good", None, "a")),
        ("train/good/a.jfif", Place("image", "train", "good", None, "a")),
        ("train/good/01/007.png", Place("image", "train", "good", "good/01", "007")),
        ("test/cut/c1/day2/7.tif", Place("image", "test", "cut", "cut/c1/day2", "7")),
        ("test/cut/01.mp4", Place("video", "test", "cut", "cut/01", "01")),
        ("ground_truth/cut/a_mask.png", Place("mask", "test", "cut", None, "a")),
        ("ground_truth/cut/c1/day2/7.png", Place("mask", "test", "cut", "cut/c1/day2", "7")),
        ("ground_truth/cut/01.TXT", Place("labels", "test", "cut", "cut/01", "01")),
        ("ground_truth/cut/01.csv", Place("truth")),
        ("ground_truth/readme.txt", Place("truth")),
        ("roi.png", Place("roi")),
        ("roi.json", Place("roi")),
        ("license.txt", Place("note")),
        ("overview.png", Place("other")),
        ("train/a.png", Place("other")),
        ("masks/cut/a.png", Place("other")),
    ],
)
def test_a_path_tells_what_a_file_is(path, place):
    assert layout.place(path) == place


def test_a_mask_belongs_to_its_image_however_its_umlaut_is_spelled():
    image, mask = (
        "test/gr\u00f6\u00dfe/\u00fc.png",
        "ground_truth/gro\u0308\u00dfe/u\u0308_mask.png",
    )
    assert (layout.place(image).kind, layout.place(image).stem) == ("größe", "ü")
    assert (layout.place(mask).kind, layout.place(mask).stem) == ("größe", "ü")


def test_names_are_in_the_order_of_their_numbers():
    names = ["f10", "f9", "f1", "f010", "g2", "f"]
    assert sorted(names, key=layout.natural) == ["f", "f1", "f9", "f010", "f10", "g2"]


@pytest.mark.parametrize(
    ("stems", "numbers"),
    [
        (["000", "001", "010"], [0, 1, 10]),
        (["cam2_0007_v3", "cam2_0009_v3"], [7, 9]),
        (["a1_2", "a2_1"], [1, 2]),
        (["b", "a2"], [0, 1]),
        (["x1", "x1b"], [0, 1]),
        ([], []),
    ],
)
def test_the_number_of_a_frame_is_the_group_of_digits_that_rises(stems, numbers):
    assert layout.numbers(stems) == numbers


@pytest.mark.parametrize("path", [".DS_Store", "a/._x.png", "@eaDir/a.png", "a/Thumbs.db"])
def test_what_file_managers_leave_is_noise(path):
    assert layout.is_noise(path)
    assert not layout.is_noise("train/good/a.png")
