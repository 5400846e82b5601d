import json
import shutil
import subprocess
from dataclasses import replace

import pytest

from models.errors import DataError, NotFoundError
from tasks.data import dvc_cache, versions
from tasks.data.versions import Changes
from tests.tasks.pictures import picture, save, write_stills


def commit(message="data"):
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", "add", "data.dvc"], check=True)
    subprocess.run(["git", *identity, "commit", "-qm", message], check=True)


@pytest.fixture
def stills(repository):
    write_stills(repository / "data" / "stills")
    return versions.add("stills")


def test_the_digest_is_the_md5_that_dvc_gives_the_folder_alone(repository, stills):
    from dvc.repo import Repo

    shutil.copytree(repository / "data" / "stills", repository / "alone")
    with Repo(str(repository)) as repo:
        repo.add("alone")
    text = (repository / "alone.dvc").read_text()
    assert f"md5: {stills.digest}\n" in text
    assert len(stills.digest) == 36
    assert stills.num_files == 8
    assert f"size: {stills.num_bytes}\n" in text


def test_data_dvc_is_what_dvc_itself_writes_for_the_whole_folder(repository, stills):
    from dvc.repo import Repo

    write_stills(repository / "data" / "others", seed=1)
    versions.add("others")
    ours = (repository / "data.dvc").read_text()
    (repository / "data.dvc").unlink()
    with Repo(str(repository)) as repo:
        repo.add("data")
    assert (repository / "data.dvc").read_text() == ours


def test_another_set_changes_data_dvc_but_nobody_elses_digest(repository, stills):
    write_stills(repository / "data" / "others", seed=1)
    versions.add("others")
    now = versions.current("stills")
    assert now.digest == stills.digest
    assert now.dvc_md5 != stills.dvc_md5
    assert versions.names(now.dvc_md5) == ("others", "stills")


def test_data_dvc_is_replaced_at_once_or_not_at_all(repository, stills, monkeypatch):
    before = (repository / "data.dvc").read_text()
    save(repository / "data" / "stills" / "test" / "good" / "009.png", picture(9))

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    monkeypatch.setattr(type(repository), "replace", die)
    with pytest.raises(Killed):
        versions.add("stills")
    monkeypatch.undo()
    monkeypatch.chdir(repository)
    assert (repository / "data.dvc").read_text() == before
    assert versions.add("stills").num_files == 9
    assert not list((repository / ".unseen").glob("*.part"))


def test_a_set_stays_recorded_when_its_working_copy_is_gone(repository, stills):
    shutil.rmtree(repository / "data" / "stills")
    write_stills(repository / "data" / "others", seed=1)
    versions.add("others")
    assert versions.current("stills").digest == stills.digest


def test_an_old_version_is_read_while_the_working_copy_is_another(repository, stills):
    old = versions.entries(stills)
    changed = save(repository / "data" / "stills" / "test" / "good" / "000.png", picture(99))
    (repository / "data" / "stills" / "train" / "good" / "004.png").unlink()
    content = changed.read_bytes()
    new = versions.add("stills")
    assert new.digest != stills.digest
    assert versions.entries(stills) == old
    assert changed.read_bytes() == content
    assert versions.compare(old, versions.entries(new)) == Changes(
        added=(), removed=("train/good/004.png",), changed=("test/good/000.png",)
    )


def test_a_version_is_found_by_its_digest_when_only_another_folder_md5_holds_it(repository, stills):
    expected = versions.entries(stills)
    write_stills(repository / "data" / "others", seed=1)
    versions.add("others")
    dvc_cache.cached_path(stills.dvc_md5).unlink()
    assert versions.entries(stills) == expected
    lost = replace(stills, dvc_md5="0" * 32 + ".dir")
    assert versions.entries(lost) == expected


def test_a_version_that_nobody_lists_is_a_clear_error(repository, stills):
    with pytest.raises(DataError, match=r"must be listed in DVC's cache or remote"):
        versions.entries(replace(stills, digest="0" * 32 + ".dir"))


def test_the_git_commit_tells_whether_data_dvc_is_committed(repository, stills):
    assert stills.git_commit.endswith("+dirty")
    commit()
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (repository / "notes.txt").write_text("not data")
    assert versions.current("stills").git_commit == head


def test_data_dvc_of_an_old_commit_can_be_named(repository, stills):
    commit()
    save(repository / "data" / "stills" / "test" / "good" / "001.png", picture(98))
    new = versions.add("stills")
    commit()
    assert versions.recorded("HEAD~1") == stills.dvc_md5
    assert list(versions.history()) == [new.dvc_md5, stills.dvc_md5]


def test_an_unknown_set_is_answered_with_those_there_are(stills):
    with pytest.raises(NotFoundError, match=r"no data set 'srews'. data.dvc names: stills"):
        versions.current("srews")


def test_a_data_dvc_in_the_middle_of_a_merge_is_a_clear_error(repository, stills):
    path = repository / "data.dvc"
    path.write_text(f"<<<<<<< HEAD\n{path.read_text()}=======\n>>>>>>> other\n")
    with pytest.raises(DataError, match="end the merge"):
        versions.recorded()


def test_without_a_git_repository_no_version_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="must run inside a git repository"):
        versions.recorded()


def test_a_stored_folder_is_in_the_cache_and_data_dvc_is_as_before(repository, stills):
    before = (repository / "data.dvc").read_bytes()
    other = write_stills(repository / "elsewhere", seed=5)
    versions.store(other)
    assert not dvc_cache.missing(entry.md5 for entry in versions.hash_folder(other))
    assert (repository / "data.dvc").read_bytes() == before


def test_the_joint_digest_of_all_sets_is_the_md5_in_data_dvc(repository, stills):
    write_stills(repository / "data" / "others", seed=1)
    md5 = versions.add("others").dvc_md5
    sets = {name: versions.entries_at(md5, name) for name in ("stills", "others")}
    assert versions.digest(versions.joined(sets)) == md5
    dvc_cache.cached_path(md5).unlink()
    versions.remember(versions.joined(sets))
    listing = json.loads(dvc_cache.cached_path(md5).read_text())
    assert [item["relpath"] for item in listing] == sorted(item["relpath"] for item in listing)
    assert versions.names(md5) == ("others", "stills")
