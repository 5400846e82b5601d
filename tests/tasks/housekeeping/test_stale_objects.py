import subprocess
import time

import pytest

from models.errors import DataError
from tasks.data import dvc_cache, versions
from tasks.housekeeping import stale_objects
from tasks.housekeeping.references import References
from tests.tasks.pictures import write_stills

SOON = time.time() + 3600


@pytest.fixture
def stills(repository):
    write_stills(repository / "data" / "stills")
    return versions.add("stills")


def names(kind):
    return {each.name for each in kind.stale}


def test_what_data_dvc_names_stays_and_once_it_does_not_it_may_go(repository, stills):
    every = {stills.dvc_md5, *(each.md5 for each in versions.entries(stills))}
    by_the_way = {stills.digest}  # DVC also writes down the list of what was just added
    assert names(stale_objects.find(References(), [], SOON)) == by_the_way
    (repository / "data.dvc").unlink()
    assert names(stale_objects.find(References(), [], SOON)) == every | by_the_way
    assert names(stale_objects.find(References(), [], time.time() - 3600)) == set()


def test_any_file_of_dvcs_keeps_what_it_names_and_so_does_a_tag(repository, stills):
    first, second = (each.md5 for each in versions.entries(stills)[:2])
    (repository / "data.dvc").unlink()
    (repository / "model.bin.dvc").write_text(f"outs:\n- md5: {first}\n  path: model.bin\n")
    (repository / "dvc.lock").write_text(f"stages:\n  a:\n    outs:\n    - md5: {second}\n")
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for command in (
        ["add", "dvc.lock"],
        [*identity, "commit", "-qm", "Lock"],
        ["tag", "v1"],
        ["rm", "-q", "dvc.lock"],
        [*identity, "commit", "-qm", "No lock"],
    ):
        subprocess.run(["git", *command], check=True)
    found = stale_objects.find(References(), [], SOON)
    assert not {first, second} & names(found)
    assert found.kept["branches and tags of git"] == 1
    assert found.kept[stale_objects.HERE] == 1


def test_a_list_that_is_not_here_is_told_and_a_corrupt_one_stops_everything(repository, stills):
    path = dvc_cache.cached_path(stills.dvc_md5)
    content = path.read_bytes()
    path.unlink()
    found = stale_objects.find(References(), [], SOON)
    assert f"list of files {stills.dvc_md5}" in found.notes[0]
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match="list of files in data/ must have md5"):
        stale_objects.find(References(), [], SOON)


def test_a_repository_without_data_has_none(repository):
    assert stale_objects.find(References(), [], SOON).stale == []
