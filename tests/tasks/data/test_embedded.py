import shutil
import subprocess

import pytest

from models.contracts import silent
from models.errors import DataError
from tasks.data import dvc_cache, embedded, versions
from tasks.data.ingest import ingest
from tasks.data.sources import catalog
from tests.tasks.data.test_versions import commit
from tests.tasks.pictures import picture, save, write_stills


@pytest.fixture
def quick(monkeypatch):
    """Embedded sets that are generated in no time."""
    seeds = {"small": 1, "tiny": 2}
    monkeypatch.setattr(catalog, "EMBEDDED", tuple(seeds))
    monkeypatch.setattr(
        catalog, "generate", lambda name, folder, _: write_stills(folder, seed=seeds[name])
    )


@pytest.fixture
def clone(repository, tmp_path, monkeypatch):
    """Function that commits everything and goes to a fresh clone without a remote."""

    def go():
        subprocess.run(["git", "add", ".dvc", ".dvcignore", ".gitignore"], check=True)
        commit()
        subprocess.run(["git", "clone", "-q", repository, tmp_path / "clone"], check=True)
        monkeypatch.chdir(tmp_path / "clone")
        return tmp_path / "clone"

    return go


def is_clean():
    done = subprocess.run(["git", "status", "--porcelain", "-uno"], capture_output=True, check=True)
    return done.stdout == b""


def test_digits_generated_in_a_fresh_clone_are_what_data_dvc_names(repository, clone):
    version = ingest.fn("digits")
    folder = clone()
    made = ingest.fn("digits")
    assert (made.digest, made.dvc_md5) == (version.digest, version.dvc_md5)
    assert made.num_bytes == version.num_bytes
    assert is_clean()
    assert not dvc_cache.missing(entry.md5 for entry in versions.entries(made))
    assert versions.hash_folder(folder / "data" / "digits") == versions.entries(made)


def test_all_embedded_sets_that_data_dvc_covers_are_generated_together(quick, clone):
    for name in ("small", "tiny"):
        ingest.fn(name)
    whole = versions.recorded()
    folder = clone()
    assert ingest.fn("tiny").dvc_md5 == whole
    assert sorted(path.name for path in (folder / "data").iterdir()) == ["small", "tiny"]
    assert ingest.fn("small").dvc_md5 == whole
    assert is_clean()


@pytest.mark.parametrize(("covered", "other"), [("small", "tiny"), ("tiny", "small")])
def test_what_data_dvc_does_not_cover_is_generated_and_added(quick, clone, covered, other):
    digest = ingest.fn(covered).digest
    clone()
    ingest.fn(other)
    assert versions.current(covered).digest == digest
    assert versions.names(versions.recorded()) == ("small", "tiny")


def test_other_bytes_than_data_dvc_names_are_refused(quick, clone, monkeypatch):
    whole = ingest.fn("tiny").dvc_md5
    folder = clone()
    monkeypatch.setattr(
        catalog, "generate", lambda name, target, _: write_stills(target, seed=len(name) + 40)
    )
    with pytest.raises(DataError, match=rf"must have the md5 {whole} .* has\s+[0-9a-f]{{32}}.dir"):
        ingest.fn("tiny")
    assert is_clean()
    assert list((folder / "data").iterdir()) == []


def test_a_set_whose_list_is_at_hand_is_compared_alone(quick, repository):
    version = ingest.fn("tiny")
    shutil.rmtree(repository / "data")
    for entry in versions.entries(version):
        dvc_cache.cached_path(entry.md5).unlink(missing_ok=True)
    assert ingest.fn("tiny") == version
    save(repository / "data" / "tiny" / "test" / "good" / "000.png", picture(9))
    edited = ingest.fn("tiny")
    shutil.rmtree(repository / "data")
    for entry in versions.entries(edited):
        dvc_cache.cached_path(entry.md5).unlink(missing_ok=True)
    before = (repository / "data.dvc").read_bytes()
    with pytest.raises(DataError, match=rf"{edited.digest} .* has\s+{version.digest}"):
        ingest.fn("tiny")
    assert (repository / "data.dvc").read_bytes() == before


def test_an_earlier_commit_names_an_embedded_set_when_the_last_covers_more(
    quick, repository, clone, tmp_path, caplog
):
    alone = ingest.fn("tiny")
    subprocess.run(["git", "add", ".dvc", ".dvcignore", ".gitignore"], check=True)
    commit()
    ingest.fn("mine", write_stills(tmp_path / "mine", seed=7))
    clone()
    made = ingest.fn("tiny")
    assert (made.digest, made.dvc_md5) == (alone.digest, alone.dvc_md5)
    assert "what an earlier commit of data.dvc names" in caplog.text
    assert ingest.fn("tiny") == made
    assert is_clean()
    with pytest.raises(DataError, match="dvc remote add -d NAME URL"):
        ingest.fn("mine")
    with pytest.raises(DataError, match="dvc remote add -d NAME URL"):
        ingest.fn("another", tmp_path / "mine")
    assert is_clean()


def test_a_folder_of_ones_own_can_join_the_embedded_sets_of_a_fresh_clone(quick, clone, tmp_path):
    ingest.fn("tiny")
    clone()
    version = ingest.fn("mine", write_stills(tmp_path / "mine", seed=7))
    assert versions.names(version.dvc_md5) == ("mine", "tiny")


def test_a_working_copy_that_is_there_stays_as_it_is(quick, clone):
    for name in ("small", "tiny"):
        ingest.fn(name)
    folder = clone()
    mine = save(folder / "data" / "small" / "train" / "good" / "mine.png", picture(3))
    ingest.fn("tiny")
    assert list((folder / "data" / "small").rglob("*.png")) == [mine]


def test_the_real_sets_are_generated_by_their_own_functions(tmp_path):
    catalog.generate("digits", tmp_path, silent)
    assert len(list(tmp_path.rglob("*.png"))) == 1797
    assert embedded.catalog.EMBEDDED == ("digits", "digits-all", "tablets", "walkway")
