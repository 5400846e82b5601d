import os
import subprocess

import pytest

from models.errors import DataError
from tasks.platform import workspace


@pytest.fixture
def repository(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commit(folder):
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(
        ["git", *identity, "commit", "-qm", "x", "--allow-empty"], cwd=folder, check=True
    )


def test_outside_a_repository_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="Run 'git init'"):
        workspace.root()


def test_the_root_is_found_from_below(repository):
    (repository / "a" / "b").mkdir(parents=True)
    assert workspace.root(repository / "a" / "b") == repository


def test_a_home_that_cannot_be_made_is_an_error_not_a_traceback(repository):
    (repository / ".unseen").write_text("in the way")
    with pytest.raises(DataError, match="must be able to write"):
        workspace.home()


def test_the_commit_tells_whether_files_were_changed(repository):
    assert workspace.git_commit() == "unborn"
    (repository / "file").write_text("1")
    subprocess.run(["git", "add", "file"], cwd=repository, check=True)
    commit(repository)
    clean = workspace.git_commit()
    assert len(clean) == 40
    (repository / "file").write_text("2")
    assert workspace.git_commit() == f"{clean}+dirty"


def test_the_code_version_is_short_and_stable():
    assert len(workspace.code_version()) == 16
    assert workspace.code_version() == workspace.code_version()


def test_a_configured_store_wins_over_the_default(repository, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    workspace.configure()
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://elsewhere"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    workspace.configure()
    assert os.environ["MLFLOW_TRACKING_URI"].endswith(".unseen/mlflow.db")


@pytest.mark.parametrize("mark", [".dvc", "data.dvc", ".unseen"])
def test_the_nearest_marked_folder_is_the_workplace_and_not_the_top_of_git(repository, mark):
    inner = repository / "detectors" / "gate"
    (inner / "src").mkdir(parents=True)
    (inner / mark).mkdir() if mark != "data.dvc" else (inner / mark).touch()
    (repository / ".dvc").mkdir()
    assert workspace.root(inner / "src") == inner
    assert workspace.root(repository / "detectors") == repository


def test_a_mark_above_the_repository_does_not_count(repository):
    inner = repository / "clone"
    subprocess.run(["git", "init", "-q", inner], check=True)
    (repository / ".unseen").mkdir()
    assert workspace.root(inner) == inner


@pytest.mark.parametrize("character", "#?%")
def test_a_character_that_addresses_cannot_hold_is_refused_by_name(tmp_path, character):
    folder = tmp_path / f"a{character}20b"
    subprocess.run(["git", "init", "-q", folder], check=True)
    with pytest.raises(DataError, match=rf"has '\{character}'. Rename the folder"):
        workspace.root(folder)
    assert not (folder / ".unseen").exists()


def test_a_home_that_is_there_is_given_to_who_may_only_read(repository):
    home = workspace.home()
    (home / ".gitignore").unlink()
    home.chmod(0o555)
    try:
        assert workspace.home() == home
    finally:
        home.chmod(0o755)


def test_a_repository_that_git_does_not_trust_has_no_commit_that_is_unborn(repository, monkeypatch):
    commit(repository)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(DataError, match="dubious ownership"):
        workspace.git_commit()
