"""The checker of the crash campaign finds what is wrong: each kind of damage is planted once."""

import sqlite3
from dataclasses import replace

import pytest

from benchmarks import _crash_checks as checks
from tasks.data import versions
from tasks.registry import history, mlflow_store, model_versions
from tasks.registry.decisions import appoint
from tests.tasks.conftest import (  # noqa: F401 - a registry with packaged detectors
    log_detector,
    register_detector,
    tiny_detector,
)
from tests.tasks.pictures import write_stills


@pytest.fixture
def top(repository, register_detector):  # noqa: F811
    """A repository with a data version and two versions of a model, of which the second serves."""
    write_stills(repository / "data" / "stills")
    versions.add("stills")
    for seed in range(2):
        register_detector(seed=seed)
        appoint("squares", seed + 1, "")
    return repository


def found(top):
    return " ".join(checks.problems(top, checks.read(top)))


def sql(top, statement, *values):
    with sqlite3.connect(top / ".unseen" / "mlflow.db") as store:
        store.execute(statement, values)
    store.close()


def package_of(version):
    return model_versions.folder(
        model_versions.resolve(mlflow_store.client(), "squares", version).source
    )


def listed(top):
    md5 = checks.read(top).data_md5
    return top / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]


def cut(path, keep=10):
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:keep])


DAMAGE = {
    "digest": lambda _: (package_of(2) / "weights.safetensors").write_bytes(b""),
    "is not ready": lambda top: sql(top, "update logged_models set status = 1"),
    "2 versions of run": lambda top: sql(
        top,
        "update model_versions set run_id = (select run_id from model_versions where version = 1)",
    ),
    "is not finished": lambda top: sql(top, "update runs set status = 'RUNNING'"),
    "which is not there": lambda top: sql(
        top, "update registered_model_aliases set version = 9 where alias = 'challenger'"
    ),
    "its history says": lambda top: sql(
        top, "update registered_model_aliases set version = 1 where alias = 'champion'"
    ),
    "cannot be read": lambda top: sql(
        top, "update registered_model_tags set value = '{' where key like 'unseen.history.%'"
    ),
    "data.dvc cannot be read": lambda top: (top / "data.dvc").write_text(""),
    "has other bytes": lambda top: cut(listed(top)),
    "which is not in the cache": lambda top: listed(top).unlink(),
    "lacks 1 files": lambda top: next(
        path for path in (top / ".dvc/cache/files/md5").glob("??/*") if path.suffix != ".dir"
    ).unlink(),
}


def test_a_whole_repository_has_no_problems_and_each_damage_is_found(top):
    whole = {path: path.read_bytes() for path in top.rglob("*") if path.is_file()}
    assert found(top) == ""
    for words, damage in DAMAGE.items():
        damage(top)
        assert words in found(top), words
        for path, content in whole.items():
            if not path.is_file() or path.read_bytes() != content:
                path.unlink(missing_ok=True)
                path.write_bytes(content)
    assert found(top) == ""


def test_what_was_there_and_is_gone_or_changed_counts_as_lost(top):
    before = checks.read(top)
    assert checks.lost(before, before) == []
    key = next(iter(before.decisions["squares"]))
    changed = {"squares": {**before.decisions["squares"], key: "{}"}}
    assert checks.lost(before, replace(before, decisions=changed)) == [f"decision {key}"]
    assert len(checks.lost(before, replace(before, versions={}))) == 2
    assert checks.lost(before, replace(before, data_md5=None)) == ["data.dvc"]
    assert checks.lost(before, replace(before, objects=frozenset()))
    remembered = replace(before, results={"fit-1-0": 5})
    assert checks.lost(remembered, before) == ["finished fit-1-0"]
    again = replace(before, results={"fit-1-0": 6})
    assert checks.computed_again(remembered, again) == ["fit-1-0"]
    assert checks.computed_again(remembered, remembered) == []


def test_a_decision_that_is_not_in_effect_yet_allows_the_former_champion(top):
    client = mlflow_store.client()
    decision = history.read("squares", client)[-1]
    assert decision.champion == 2
    sql(top, "delete from registered_model_tags where key = 'unseen.history_in_effect'")
    sql(top, "update registered_model_aliases set version = 1 where alias = 'champion'")
    assert found(top) == ""


def test_leftovers_are_temporary_files_and_halves(top, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    assert checks.leftovers(top, temporary) == []
    left = [temporary / "tmp1", top / "data" / ".incoming-1", top / ".unseen" / "data.dvc.part"]
    for path in left:
        path.mkdir()
    assert checks.leftovers(top, temporary) == sorted(map(str, left))
