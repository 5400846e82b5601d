import os

from tasks.housekeeping.stale import Kind, Stale, newest, size


def test_a_folder_is_as_large_as_its_files_and_as_young_as_the_youngest(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_bytes(b"123")
    (tmp_path / "a" / "y").write_bytes(b"12345")
    for path, moment in ((tmp_path / "a" / "b" / "x", 50), (tmp_path / "a" / "y", 20)):
        os.utime(path, (moment, moment))
    os.utime(tmp_path / "a" / "b", (10, 10))
    os.utime(tmp_path / "a", (10, 10))
    assert size(tmp_path / "a") == 8
    assert newest(tmp_path / "a") == 50
    assert size(tmp_path / "a" / "y") == 5
    assert size(tmp_path / "nothing") == 0


def test_a_kind_takes_the_room_of_what_is_stale():
    kind = Kind(title="t", why="w")
    kind.stale += [Stale(name=str(n), num_bytes=n, remove=lambda: None) for n in (3, 4)]
    assert kind.num_bytes == 7
