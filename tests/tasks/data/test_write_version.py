import shutil

import pytest

from models.errors import DataError
from tasks.data import dvc_cache, versions, write_version
from tasks.data.versions import Entry
from tests.tasks.pictures import write_stills


@pytest.fixture
def stills(repository):
    write_stills(repository / "data" / "stills")
    return versions.add("stills")


def test_writing_writes_exactly_the_bytes_of_the_version(repository, stills, tmp_path):
    kept = tmp_path / "kept"
    shutil.copytree(repository / "data" / "stills", kept)
    entries = versions.entries(stills)
    shutil.rmtree(repository / "data")
    write_version.write(entries, tmp_path / "out" / "stills")
    restored = versions.hash_folder(tmp_path / "out" / "stills")
    assert restored == versions.hash_folder(kept) == entries


def test_writing_refuses_a_folder_that_holds_something(stills, tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(DataError, match="must be empty or new"):
        write_version.write(versions.entries(stills), tmp_path)
    assert (tmp_path / "mine").read_text() == "precious"


def test_writing_leaves_nothing_behind_when_an_object_is_corrupt(stills, tmp_path):
    entries = versions.entries(stills)
    spoilt = dvc_cache.cached_path(entries[-1].md5)
    spoilt.chmod(0o644)
    spoilt.write_bytes(b"other bytes")
    target = tmp_path / "new" / "out"
    with pytest.raises(DataError, match=rf"{entries[-1].relpath} must have md5 .* is\s+corrupt"):
        write_version.write(entries, target)
    assert list(target.parent.iterdir()) == []


def test_writing_leaves_nothing_behind_when_an_object_is_lost(stills, tmp_path):
    entries = versions.entries(stills)
    dvc_cache.cached_path(entries[3].md5).unlink()
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=entries[3].relpath):
        write_version.write(entries, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_writing_says_when_the_disk_cannot_be_written(stills, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="can be written"):
        write_version.write(versions.entries(stills), tmp_path / "file" / "out")


def test_writing_writes_nothing_outside_of_its_folder(stills, tmp_path):
    md5 = versions.entries(stills)[0].md5
    for path in ("../escaped.png", "/escaped.png", "a/../../escaped.png"):
        with pytest.raises(DataError, match="inside its data set"):
            write_version.write([Entry(path, md5)], tmp_path / "out")
    assert not (tmp_path / "escaped.png").exists()
