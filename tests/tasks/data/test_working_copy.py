"""Git and DVC by their own commands beside ``ingest``: whose version is the newer one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import DataError, InvalidInputError
from tasks.data import dvc_cache, versions, working_copy
from tasks.data.ingest import ingest, ingest_folder
from tests.conftest import make_repository
from tests.tasks.pictures import picture, save, write_stills

NEW = "test/good/009.png"


def git(*arguments, folder=None):
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    command = ["git", *identity, "-c", "protocol.file.allow=always", *map(str, arguments)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def dvc(*arguments):
    done = subprocess.run(
        [Path(sys.executable).with_name("dvc"), *map(str, arguments)],
        env={**os.environ, "DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def commit_data():
    git("add", "data.dvc", ".dvc", ".dvcignore", ".gitignore")
    git("commit", "-qm", "data")


@pytest.fixture
def twice(repository, tmp_path):
    """Two versions of the set ``mine``, each committed; the second one has one more picture."""
    source = write_stills(tmp_path / "source")
    first = ingest.fn("mine", source)
    commit_data()
    save(repository / "data" / "mine" / NEW, picture(50))
    second = ingest.fn("mine")
    commit_data()
    return first, second


def share(folder):
    dvc("remote", "add", "-d", "--local", "store", folder)
    dvc("push", "--all-commits")


def here():
    return versions.digest(versions.hash_folder(versions.folder() / "mine"))


def test_what_git_takes_back_is_checked_out_and_data_dvc_stays(repository, twice, caplog):
    first, second = twice
    git("checkout", "-q", "HEAD~1", "--", "data.dvc")
    text = (repository / "data.dvc").read_text()
    assert ingest.fn("mine").digest == first.digest == here()
    assert (repository / "data.dvc").read_text() == text
    assert "which was checked out" in caplog.text
    git("checkout", "-q", "HEAD", "--", "data.dvc")
    assert ingest_folder("mine")[0].digest == second.digest == here()
    git("diff", "--exit-code", "HEAD", "--", "data.dvc")


def test_a_pull_brings_the_data_of_the_others(repository, twice, tmp_path, monkeypatch):
    first, second = twice
    share(tmp_path / "remote")
    git("clone", "-q", repository, tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "clone")
    dvc("remote", "add", "-d", "--local", "store", tmp_path / "remote")
    git("reset", "-q", "--hard", "HEAD~1")
    assert ingest.fn("mine").digest == first.digest
    git("pull", "-q", "--ff-only")
    assert ingest.fn("mine").digest == second.digest == here()
    git("diff", "--exit-code", "--", "data.dvc")


def test_a_version_that_dvc_has_checked_out_itself_is_not_taken_back(repository, twice):
    first, second = twice
    git("checkout", "-q", "HEAD~1", "--", "data.dvc")
    dvc("checkout")
    git("checkout", "-q", "HEAD", "--", "data.dvc")
    assert here() == first.digest
    assert ingest.fn("mine").digest == second.digest == here()


def test_edits_that_began_from_another_version_are_asked_about(repository, twice):
    first, second = twice
    edited = save(repository / "data" / "mine" / "test" / "good" / "000.png", picture(77))
    content = edited.read_bytes()
    git("checkout", "-q", "HEAD~1", "--", "data.dvc")
    text = (repository / "data.dvc").read_text()
    with pytest.raises(DataError, match=r"unseen ingest mine --discard"):
        ingest.fn("mine")
    assert edited.read_bytes() == content
    assert (repository / "data.dvc").read_text() == text
    kept, changes = ingest_folder("mine")
    assert kept.digest not in {first.digest, second.digest}
    assert changes.changed == ("test/good/000.png",)


def test_edits_can_be_discarded(repository, twice):
    first, _ = twice
    save(repository / "data" / "mine" / "test" / "good" / "000.png", picture(77))
    git("checkout", "-q", "HEAD~1", "--", "data.dvc")
    assert ingest_folder("mine", discard=True)[0].digest == first.digest == here()


def test_discarding_brings_back_what_cannot_even_be_read(repository, tmp_path):
    source = write_stills(tmp_path / "source")
    first, _ = ingest_folder(str(source), name="mine")
    folder = versions.folder() / "mine"
    (folder / "train/good/9.png").symlink_to(folder / "nowhere")
    for arguments in ({"source": "mine"}, {"source": str(source), "name": "mine"}):
        with pytest.raises(DataError, match=r"9\.png is a broken link\. Remove it\.$"):
            ingest_folder(**arguments)
    shutil.rmtree(folder / "test")
    assert ingest_folder("mine", discard=True)[0].digest == first.digest
    assert versions.digest(versions.hash_folder(folder)) == first.digest
    shutil.rmtree(folder / "train")
    assert ingest_folder("mine", discard=True)[0].digest == first.digest


def test_discarding_takes_no_folder(repository, tmp_path):
    with pytest.raises(InvalidInputError, match="the name of the set alone"):
        ingest_folder(str(tmp_path), name="mine", discard=True)


def test_edits_of_what_data_dvc_names_are_the_next_version(repository, twice):
    _, second = twice
    save(repository / "data" / "mine" / "test" / "good" / "000.png", picture(77))
    third = ingest.fn("mine")
    assert third.digest == here() != second.digest


def test_an_earlier_version_that_a_person_brings_back_by_hand_counts_when_they_say_so(
    repository, twice
):
    first, second = twice
    (repository / "data" / "mine" / NEW).unlink()
    assert ingest_folder("mine")[0].digest == first.digest == here()
    save(repository / "data" / "mine" / NEW, picture(50))
    (repository / "data" / "mine" / NEW).unlink()
    assert ingest.fn("mine").digest == first.digest != second.digest


def test_without_a_note_nothing_is_guessed(repository, twice):
    _, second = twice
    (repository / ".unseen" / working_copy.NOTE).unlink()
    save(repository / "data" / "mine" / "test" / "good" / "000.png", picture(77))
    with pytest.raises(DataError, match="began from another one"):
        ingest.fn("mine")
    ingest_folder("mine", discard=True)
    (repository / ".unseen" / working_copy.NOTE).unlink()
    (repository / "data" / "mine" / NEW).unlink()
    assert ingest.fn("mine").digest == second.digest == here()


def test_a_note_that_cannot_be_read_is_none(repository, twice):
    (repository / ".unseen" / working_copy.NOTE).write_text("{")
    assert ingest.fn("mine").digest == twice[1].digest


def test_a_lost_cache_is_mended_from_the_working_copies(repository, twice, tmp_path):
    _, second = twice
    ingest.fn("others", write_stills(tmp_path / "others", seed=3))
    now, text = versions.recorded(), (repository / "data.dvc").read_text()
    shutil.rmtree(dvc_cache.cache_folder())
    assert ingest.fn("mine").digest == second.digest
    assert (repository / "data.dvc").read_text() == text
    assert versions.names(now) == ("mine", "others")
    assert not dvc_cache.missing(each.md5 for each in versions.entries(second))


def test_a_lost_cache_is_mended_by_the_same_folder_again(repository, tmp_path):
    source = write_stills(tmp_path / "source")
    version = ingest.fn("mine", source)
    shutil.rmtree(dvc_cache.cache_folder())
    shutil.rmtree(repository / "data")
    assert ingest_folder(str(source), name="mine")[0].dvc_md5 == version.dvc_md5
    assert not dvc_cache.missing(each.md5 for each in versions.entries(version))


def test_bytes_of_an_old_version_come_back_under_any_name(repository, twice, tmp_path):
    first, second = twice
    lost = versions.entries(first)
    shutil.rmtree(dvc_cache.cache_folder())
    ingest.fn("mine")
    (repository / "data" / "mine" / NEW).unlink()
    old = shutil.copytree(repository / "data" / "mine", tmp_path / "old")
    assert ingest_folder("mine", discard=True)[0].digest == second.digest
    ingest_folder(str(old), name="again")
    assert not dvc_cache.missing(each.md5 for each in lost)
    assert versions.entries(first) == lost
    assert versions.current("mine").digest == second.digest


def test_the_size_in_data_dvc_is_right_with_a_partly_filled_cache(repository, twice, tmp_path):
    ingest.fn("others", write_stills(tmp_path / "others", seed=3))
    for entry in versions.entries(twice[1]):
        dvc_cache.cached_path(entry.md5).unlink()
    save(repository / "data" / "others" / NEW, picture(60))
    ingest.fn("others")
    files = [path for path in (repository / "data").rglob("*") if path.is_file()]
    assert (
        f"size: {sum(path.stat().st_size for path in files)}\n"
        in (repository / "data.dvc").read_text()
    )
    for entry in versions.entries(versions.current("others")):
        dvc_cache.cached_path(entry.md5).unlink()
    assert versions.names(versions.recorded()) == ("mine", "others")
    (repository / "data" / "others" / NEW).unlink()
    ingest_folder("others")
    assert "size:" not in (repository / "data.dvc").read_text()


def test_what_dvc_adds_itself_is_a_version_too(repository, twice):
    save(repository / "data" / "mine" / "test" / "good" / "000.png", picture(77))
    (repository / "data" / "README").write_text("Loose files belong to no set.")
    dvc("add", "data")
    text = (repository / "data.dvc").read_text()
    assert ingest.fn("mine").digest == here()
    assert (repository / "data.dvc").read_text() == text
    assert versions.names(versions.recorded()) == ("mine",)


@pytest.mark.parametrize("kind", ["worktree", "shallow", "submodule", "detached"])
def test_every_kind_of_checkout_is_good_for_a_version(
    repository, twice, tmp_path, monkeypatch, kind
):
    share(tmp_path / "remote")
    folder = tmp_path / kind
    if kind == "worktree":
        git("worktree", "add", "-q", folder)
    elif kind == "shallow":
        git("clone", "-q", "--depth", 1, f"file://{repository}", folder)
    elif kind == "submodule":
        make_repository(tmp_path / "outer")
        git("submodule", "add", "-q", repository, kind, folder=tmp_path / "outer")
        folder = tmp_path / "outer" / kind
    else:
        folder = repository
        git("checkout", "-q", "--detach")
    monkeypatch.chdir(folder)
    dvc("remote", "add", "-d", "-f", "--local", "store", tmp_path / "remote")
    version, _ = ingest_folder(str(tmp_path / "source"), name="own")
    assert versions.current("own").digest == version.digest
    assert (folder / "data" / "own").is_dir()
    assert version.git_commit.removesuffix("+dirty") != "unborn"
