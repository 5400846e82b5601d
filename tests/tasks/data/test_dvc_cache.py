import os
import shutil
from pathlib import Path

import pytest

from models.errors import DataError, NotFoundError
from tasks.data import dvc_cache, dvc_repository, versions
from tests.tasks.pictures import write_stills


@pytest.fixture
def stills(repository):
    write_stills(repository / "data" / "stills")
    return versions.add("stills")


def use_remote(folder):
    from dvc.repo import Repo

    with Repo(".") as repo, repo.config.edit("local") as config:
        config["remote"]["store"] = {"url": os.fspath(folder)}
        config["core"]["remote"] = "store"


@pytest.fixture
def remote(stills, tmp_path):
    """A remote that holds everything; the cache is empty."""
    from dvc.repo import Repo

    folder = tmp_path / "remote"
    use_remote(folder)
    with Repo(".") as repo:
        repo.push()
    shutil.rmtree(dvc_cache.cache_folder())
    return folder


def test_a_dvc_repository_is_made_where_there_is_none(repository, caplog):
    with dvc_repository.opened():
        assert (repository / ".dvc" / "config").exists()
    assert "Initialized a DVC repository" in caplog.text


def test_an_object_of_the_cache_is_found_by_its_md5(repository, stills):
    for entry in versions.entries(stills):
        path = dvc_cache.verified(entry.md5, entry.relpath)
        assert path.read_bytes() == (repository / "data" / "stills" / entry.relpath).read_bytes()
        assert dvc_cache.file_md5(path) == entry.md5


def test_what_the_cache_lacks_is_fetched_from_the_remote(stills, remote):
    entries = versions.entries(stills)
    md5s = [entry.md5 for entry in entries]
    assert set(dvc_cache.missing(md5s)) == set(md5s)
    assert dvc_cache.verified(md5s[0], "first").exists()
    assert dvc_cache.at_hand(*md5s)
    assert dvc_cache.missing(md5s) == ()
    assert versions.current("stills").remote == str(remote)


def test_an_object_that_is_nowhere_is_named(stills):
    entry = versions.entries(stills)[0]
    dvc_cache.cached_path(entry.md5).unlink()
    assert not dvc_cache.at_hand(entry.md5)
    with pytest.raises(DataError, match=rf"{entry.relpath} .*cache or remote, and is in neither"):
        dvc_cache.verified(entry.md5, entry.relpath)


def test_a_corrupt_object_is_named_with_the_file_to_delete(stills):
    entry = versions.entries(stills)[0]
    path = dvc_cache.cached_path(entry.md5)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=rf"{entry.relpath} must have md5 {entry.md5}") as caught:
        dvc_cache.verified(entry.md5, entry.relpath)
    assert str(path) in str(caught.value)


def test_a_corrupt_list_of_files_is_named(stills):
    path = dvc_cache.cached_path(stills.dvc_md5)
    path.chmod(0o644)
    path.write_text("[]")
    with pytest.raises(DataError, match="list of files in data/ must have md5"):
        dvc_cache.listing(stills.dvc_md5)


def test_a_repository_without_data_says_what_to_do(repository):
    with pytest.raises(NotFoundError, match="Bring data in with 'unseen ingest'"):
        dvc_cache.cache_folder()


@pytest.mark.parametrize("place", [None, "../elsewhere", "absolute", "remote"])
def test_the_cache_is_where_dvc_has_it(repository, tmp_path, place):
    with dvc_repository.opened() as repo, repo.config.edit("local") as config:
        if place == "remote":
            config["remote"]["store"] = {"url": os.fspath(tmp_path / "store")}
            config["cache"]["local"] = "store"
        elif place:
            config["cache"]["dir"] = str(tmp_path / place) if place == "absolute" else place
    with dvc_repository.opened() as repo:
        assert dvc_cache.cache_folder() == Path(repo.cache.local.path)


def test_settings_of_dvc_that_cannot_be_read_are_reported(repository):
    with dvc_repository.opened():
        pass
    (repository / ".dvc" / "config").write_text("[cache\n")
    with pytest.raises(DataError, match="DVC must be able to do its work"):
        dvc_cache.cache_folder()
