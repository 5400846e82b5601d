import subprocess

import pytest

from models.errors import DataError
from tasks.data import dvc_cache, dvc_repository, versions
from tasks.platform import git
from tests.tasks.pictures import write_stills


@pytest.fixture
def stills(repository):
    write_stills(repository / "data" / "stills")
    return versions.add("stills")


def test_failures_of_dvc_come_out_as_data_errors(repository):
    (repository / "data" / "stills").mkdir(parents=True)
    (repository / "data.dvc").write_text("outs: 5\n")
    with pytest.raises(DataError, match="DVC must be able to do its work"):
        versions.add("stills")


def test_the_staged_files_of_the_user_are_not_committed_by_dvc(repository, stills):
    staged = subprocess.run(
        ["git", "diff", "--cached", "--name-only"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "data.dvc" not in staged


def test_a_git_that_refuses_is_not_a_repository_without_git(repository, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(DataError, match="dubious ownership"), dvc_repository.opened():
        pass
    assert not (repository / ".dvc").exists()


def test_making_a_dvc_repository_leaves_gits_index_alone(repository):
    with dvc_repository.opened():
        pass
    listed = git.ask("status", "--porcelain", folder=repository).splitlines()
    assert set(listed) == {"?? .dvc/", "?? .dvcignore", "?? .unseen/"}


def test_a_workplace_below_uses_the_dvc_repository_of_its_monorepo(repository, monkeypatch):
    with dvc_repository.opened():
        pass
    (repository / "gate").mkdir()
    (repository / "gate" / "data.dvc").write_text("outs: []\n")
    monkeypatch.chdir(repository / "gate")
    assert dvc_cache.cache_folder() == repository / ".dvc" / "cache" / "files" / "md5"
    with dvc_repository.opened() as repo:
        assert repo.root_dir == str(repository)


def test_a_failure_inside_of_dvc_is_told_and_one_of_ours_is_not_hidden(repository):
    from dulwich.errors import NotGitRepository

    with pytest.raises(DataError, match="DVC must be able to do its work"), dvc_repository.told():
        raise NotGitRepository("inside")
    with pytest.raises(ZeroDivisionError), dvc_repository.told():
        raise ZeroDivisionError


def test_where_there_is_no_repository_of_dvc_none_is_found(repository):
    assert dvc_repository.folder() is None
