import pytest

from models.errors import DataError
from tasks.data import dvc_cache, dvc_remote, versions
from tests.tasks.data.test_dvc_cache import use_remote
from tests.tasks.pictures import write_stills


@pytest.fixture
def stills(repository):
    write_stills(repository / "data" / "stills")
    return versions.add("stills")


def test_a_remote_that_does_not_answer_is_a_clear_error(stills):
    from dvc.repo import Repo

    md5 = versions.entries(stills)[0].md5
    dvc_cache.cached_path(md5).unlink()
    with Repo(".") as repo, repo.config.edit("local") as config:
        config["remote"]["store"] = {"url": "s3://nowhere", "endpointurl": "http://127.0.0.1:9"}
        config["core"]["remote"] = "store"
    with pytest.raises(DataError, match="remote 'store' must answer"):
        dvc_remote.fetch([md5])
    assert not dvc_cache.at_hand(md5)


def test_the_address_is_that_of_today(repository, tmp_path):
    assert dvc_remote.url() is None
    write_stills(repository / "data" / "stills")
    versions.add("stills")
    assert dvc_remote.url() is None
    use_remote(tmp_path / "remote")
    assert dvc_remote.url() == str(tmp_path / "remote")


def test_a_default_that_is_no_remote_is_a_clear_error(repository, stills):
    (repository / ".dvc" / "config.local").write_text("[core]\n    remote = gone\n")
    with pytest.raises(DataError, match="one of 'dvc remote list', got 'gone'"):
        dvc_remote.url()


def test_what_the_remote_has_is_counted(stills, tmp_path):
    md5s = [each.md5 for each in versions.entries(stills)]
    use_remote(tmp_path / "remote")
    assert dvc_remote.count(md5s) == 0
    dvc_remote.push(md5s[:3])
    assert dvc_remote.count(md5s) == 3


def test_without_an_answer_nothing_is_counted(stills, tmp_path):
    assert dvc_remote.count(["0" * 32]) is None
    use_remote(tmp_path / "remote")
    assert dvc_remote.count(["0" * 32], seconds=0.0) is None


def test_pushing_needs_a_remote(stills):
    with pytest.raises(DataError, match="dvc remote add -d"):
        dvc_remote.push([stills.dvc_md5])
