import subprocess

import pytest

from models.errors import DataError
from tasks.platform import git
from tests.conftest import make_repository


@pytest.fixture
def repository(tmp_path):
    return make_repository(tmp_path / "repository")


def commit(folder, name, text):
    (folder / name).write_text(text)
    subprocess.run(["git", "add", name], cwd=folder, check=True)
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *identity, "commit", "-qm", name], cwd=folder, check=True)
    return git.head(folder)


def test_a_refusal_is_told_in_the_words_of_git_and_names_the_mend(repository, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # as in a container over a mount
    for asked in (git.head, git.tips, lambda folder: git.changed(folder, "data.dvc")):
        with pytest.raises(DataError, match=r"dubious ownership[\s\S]*safe.directory"):
            asked(repository)


def test_a_damaged_repository_is_no_empty_one(repository):
    head = git.head(repository)
    (repository / ".git" / "objects" / head[:2] / head[2:]).unlink()
    with pytest.raises(DataError, match="git must answer 'git ls-tree'"):
        list(git.files(repository, "HEAD"))


def test_without_git_on_the_path_it_is_one_sentence(repository, monkeypatch):
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(DataError, match="git must be on PATH"):
        git.head(repository)


def test_before_the_first_commit_there_is_no_head_and_nothing_is_refused(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert git.head(tmp_path) is None
    assert git.commits(tmp_path, "data.dvc") == []
    assert git.tips(tmp_path) == {}
    assert git.changed(tmp_path, "data.dvc") == ""


def test_a_setting_that_is_not_there_is_empty(repository):
    assert git.setting(repository, "unseen.nothing") == ""


def test_a_file_is_read_as_it_was_from_a_folder_below_the_top(repository):
    (repository / "ml").mkdir()
    first = commit(repository, "ml/data.dvc", "old\n")
    second = commit(repository, "ml/data.dvc", "new\n")
    below = repository / "ml"
    assert git.text_at(below, first, "data.dvc") == "old"
    assert git.text_at(below, f"{first}~1", "data.dvc") is None
    assert git.commits(below, "data.dvc") == [second, first]


def test_whatever_keeps_a_commit_alive_is_named(repository, tmp_path):
    begin = git.head(repository)
    kept = commit(repository, "file", "1")
    git.ask("branch", "-q", "kept", folder=repository)
    git.ask("worktree", "add", "-q", "--detach", str(tmp_path / "w"), folder=repository)
    other = commit(tmp_path / "w", "file", "2")
    git.ask("update-ref", "refs/remotes/origin/x", begin, folder=repository)
    found = git.tips(repository)
    assert {kept, other, begin} <= set(found.values())
    assert found["refs/heads/kept"] == kept


def test_a_path_with_umlauts_is_listed_as_it_is(repository):
    head = commit(repository, "größe.dvc", "outs:\n")
    assert [path for path, _ in git.files(repository, head)] == ["größe.dvc"]


def test_looking_takes_no_lock(repository):
    (repository / ".git" / "index.lock").touch()
    commit_before = git.head(repository)
    assert git.changed(repository, "file") == ""
    assert git.head(repository) == commit_before
    assert (repository / ".git" / "index.lock").exists()
