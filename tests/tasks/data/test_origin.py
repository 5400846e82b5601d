"""Sets that the real DVC has imported from another repository and from an address."""

import shutil

import pytest
from dvc.repo import Repo

from models.errors import DataError
from tasks.data import origin, versions
from tasks.data.ingest import ingest, ingest_folder
from tests.conftest import make_repository
from tests.tasks.data.test_working_copy import commit_data, dvc, git
from tests.tasks.pictures import picture, save, write_stills


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Another repository whose folder ``data`` is versioned by DVC; its head."""
    folder = make_repository(tmp_path / "elsewhere")
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        write_stills(folder / "data" / "parts")
        Repo.init().close()
        dvc("add", "data")
        git("add", ".dvc", ".dvcignore", "data.dvc", ".gitignore")
        git("commit", "-qm", "data")
    return folder


def head(folder):
    return (folder / ".git" / "refs" / "heads").glob("*").__next__().read_text().strip()


def test_an_imported_set_keeps_its_origin(repository, elsewhere, tmp_path, monkeypatch):
    Repo.init().close()
    dvc("import", elsewhere, "data", "-o", "incoming")
    version, _ = ingest_folder("incoming/parts", name="mine")
    assert version.origin == f"dvc import {elsewhere} data/parts at {head(elsewhere)}"
    assert ingest.fn("mine") == version
    commit_data()
    assert ingest.fn("mine").origin == version.origin
    assert "up to date" in dvc("status", "data.dvc")
    ingest_folder(str(write_stills(tmp_path / "other", seed=4)), name="other")
    assert versions.current("mine").origin == version.origin
    assert versions.current("other").origin == ""
    save(repository / "data" / "mine" / "test" / "good" / "001.png", picture(3))
    assert ingest.fn("mine").origin == ""
    assert "unseen" not in (repository / "data.dvc").read_text()


def test_a_set_from_an_address_keeps_its_origin(repository, tmp_path):
    Repo.init().close()
    source = write_stills(tmp_path / "share")
    dvc("import-url", source, "incoming")
    version, _ = ingest_folder("incoming", name="mine")
    assert version.origin.startswith(f"dvc import-url {source} md5 ")


def test_what_dvc_has_only_added_has_no_origin(repository, tmp_path):
    Repo.init().close()
    write_stills(repository / "incoming")
    dvc("add", "incoming")
    assert origin.of_folder(repository / "incoming") == ""
    assert origin.of_folder(repository / "incoming" / "train") == ""
    assert origin.of_folder(tmp_path / "nowhere") == ""


def test_other_meta_of_data_dvc_stays():
    meta = {"owner": "Ada", "unseen": {"a": {"digest": "1", "origin": "x"}}}
    after = origin.merged(meta, "b", "2", "y")
    assert after["owner"] == "Ada"
    assert set(after["unseen"]) == {"a", "b"}
    assert origin.merged({"unseen": {"a": {}}}, "a", "3", "") is None


def test_the_commands_of_dvc_go_on_working(repository, tmp_path, monkeypatch):
    """Status, push, pull, get, open and gc beside ``ingest``; what gc takes is told by name."""
    from dvc.api import open as open_data

    source = write_stills(tmp_path / "source")
    first, _ = ingest_folder(str(source), name="mine", commit=True)
    save(source / "test" / "good" / "009.png", picture(9))
    second, _ = ingest_folder(str(source), name="mine", commit=True)
    assert "up to date" in dvc("status")
    dvc("remote", "add", "-d", "store", tmp_path / "remote")
    dvc("push")
    shutil.rmtree(repository / "data")
    shutil.rmtree(repository / ".dvc" / "cache")
    dvc("pull")
    assert ingest.fn("mine").digest == second.digest
    dvc("get", repository, "data/mine", "-o", tmp_path / "got")
    assert versions.hash_folder(tmp_path / "got") == versions.entries(second)
    with open_data("data/mine/test/good/009.png", mode="rb") as file:
        assert file.read() == (source / "test" / "good" / "009.png").read_bytes()
    dvc("gc", "--workspace", "-f")
    assert ingest.fn("mine").digest == second.digest
    with pytest.raises(DataError, match=rf"{first.digest} must be listed.*dvc remote add"):
        versions.entries(first)
