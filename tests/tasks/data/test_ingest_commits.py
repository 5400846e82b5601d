"""Versions in git: what is committed, and what a clone makes of it."""

import subprocess

import pytest

from models.errors import DataError
from tasks.data.ingest import ingest, ingest_folder
from tests.tasks.data.test_dvc_cache import use_remote
from tests.tasks.data.test_ingest import versions_of
from tests.tasks.pictures import picture, save, write_stills


@pytest.fixture(autouse=True)
def author(monkeypatch):
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")


@pytest.fixture
def source(tmp_path):
    return write_stills(tmp_path / "source")


def git(*arguments):
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_only_data_dvc_and_what_dvc_made_are_committed(repository, source):
    (repository / "mine.txt").write_text("staged by the user")
    git("add", "mine.txt")
    version, _ = ingest_folder(str(source), name="mine", commit=True)
    committed = git("show", "--name-only", "--format=", "HEAD").split()
    assert set(committed) == {
        "data.dvc",
        ".dvc/config",
        ".dvc/.gitignore",
        ".dvcignore",
        ".gitignore",
    }
    assert version.git_commit == git("rev-parse", "HEAD")
    assert git("diff", "--cached", "--name-only") == "mine.txt"
    save(source / "test" / "good" / "001.png", picture(51))
    (repository / ".gitignore").write_text("/data\n/mine\n")
    ingest_folder(str(source), name="mine", commit=True)
    assert git("show", "--name-only", "--format=", "HEAD") == "data.dvc"
    head = git("rev-parse", "HEAD")
    ingest_folder(str(source), name="mine", commit=True)
    assert git("rev-parse", "HEAD") == head


def test_a_commit_that_git_refuses_is_a_clear_error(repository, source):
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(DataError, match=r"refuses: not today"):
        ingest_folder(str(source), name="mine", commit=True)


def test_a_fresh_clone_pulls_from_the_remote(repository, source, tmp_path, monkeypatch):
    from dvc.repo import Repo

    version, _ = ingest_folder(str(source), name="mine", commit=True)
    use_remote(tmp_path / "remote")
    with Repo(".") as repo:
        repo.push()
    git("clone", "-q", str(repository), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    with pytest.raises(DataError, match="dvc remote add"):
        ingest.fn("mine")
    use_remote(tmp_path / "remote")
    pulled = ingest.fn("mine")
    assert (pulled.digest, pulled.dvc_md5) == (version.digest, version.dvc_md5)
    assert pulled.num_bytes == version.num_bytes
    assert versions_of(tmp_path / "clone" / "data" / "mine") == versions_of(source)
    assert git("status", "--porcelain", "data.dvc") == ""
