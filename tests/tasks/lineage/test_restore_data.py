import json

import pytest

from models.errors import DataError, NotFoundError
from tasks.data import dvc_cache
from tasks.lineage.restore_data import restore
from tests.tasks.deployed import damaged, package_of


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def file(settled):
    """A file of the data, as the packaged detector lists it."""
    return json.loads((package_of() / "files.json").read_text())[5]


def test_exactly_the_bytes_come_back_whatever_happened_to_the_working_copy(settled, tmp_path):
    for path in (settled.folder / "data" / "squares").rglob("*.png"):
        path.unlink()
        path.write_bytes(b"edited since")
    done = restore("squares", tmp_path / "restored")
    assert files_of(tmp_path / "restored") == files_of(settled.source)
    assert (done.model, done.version, done.data) == ("squares", 1, settled.clips)
    assert (done.num_files, done.num_bytes) == (32, settled.clips.num_bytes)


def test_a_corrupted_cache_is_detected_and_nothing_is_left(file, tmp_path):
    with (
        damaged(dvc_cache.cached_path(file["md5"])),
        pytest.raises(DataError, match=f"{file['relpath']} must have md5 {file['md5']}"),
    ):
        restore("squares", tmp_path / "restored")
    assert list(tmp_path.iterdir()) == []


def test_a_lost_file_is_named_and_nothing_is_left(file, tmp_path):
    with (
        damaged(dvc_cache.cached_path(file["md5"]), b""),
        pytest.raises(DataError, match=rf"{file['relpath']} \(md5 {file['md5']}\)"),
    ):
        restore("squares", tmp_path / "restored")
    assert list(tmp_path.iterdir()) == []


def test_a_changed_list_of_files_is_not_believed(settled, tmp_path):
    path = package_of() / "files.json"
    shorter = json.dumps(json.loads(path.read_text())[1:]).encode()
    with damaged(path, shorter), pytest.raises(DataError, match=r"it was changed"):
        restore("squares", tmp_path / "restored")
    assert list(tmp_path.iterdir()) == []


def test_without_the_models_files_dvc_still_knows_the_list(settled, tmp_path):
    with damaged(package_of() / "files.json", b""):
        assert restore("squares", tmp_path / "restored").num_files == 32
    assert files_of(tmp_path / "restored") == files_of(settled.source)


def test_a_folder_that_holds_something_is_left_alone(settled):
    before = files_of(settled.source)
    with pytest.raises(DataError, match="must be empty or new"):
        restore("squares", settled.source)
    assert files_of(settled.source) == before


def test_an_unknown_model_restores_nothing(settled, tmp_path):
    with pytest.raises(NotFoundError, match="no registered model 'circles'"):
        restore("circles", tmp_path / "restored")
    assert list(tmp_path.iterdir()) == []
