from tasks.data import duplicates, relations
from tasks.data.rows import Row
from tests.tasks.data.test_duplicates import saved_again, scene


def image(path, md5="", **more):
    split, kind, *_ = path.split("/")
    return Row(path=path, role="image", split=split, kind=kind, md5=md5 or path, **more)


def test_near_duplicates_are_named_across_and_within_splits():
    rows = [
        image("train/good/a.png"),
        image("train/good/b.jpg"),
        image("train/good/c.png"),
        image("test/good/d.jpg"),
    ]
    pixels = [scene(0), saved_again(scene(0)), scene(1), saved_again(scene(1))]
    prints = {
        row.path: duplicates.fingerprint(each) for row, each in zip(rows, pixels, strict=True)
    }
    assert relations.compare(rows, prints) == [("train/good/a.png", "train/good/b.jpg")]
    assert [row.copy for row in rows] == [None, "train/good/a.png", None, None]
    assert [row.near for row in rows] == [None, None, "test/good/d.jpg", "train/good/c.png"]


def test_equal_files_across_splits_are_twins_and_not_near():
    rows = [image("train/good/a.png", "1"), image("test/good/d.png", "1")]
    prints = {row.path: duplicates.fingerprint(scene(0)) for row in rows}
    assert relations.compare(rows, prints) == []
    relations.relate(rows)
    assert [row.near for row in rows] == [None, None]
    assert [row.twin for row in rows] == ["test/good/d.png", "train/good/a.png"]


def test_frames_are_numbered_in_natural_order():
    rows = [image(f"train/good/1/f{k}_v2.png", clip="good/1") for k in (10, 9, 11)]
    relations.relate(rows)
    assert [row.frame for row in rows] == [10, 9, 11]
    assert [row.step for row in rows] == [1, None, 1]
