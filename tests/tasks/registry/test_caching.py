import dataclasses
import subprocess
from types import SimpleNamespace

import pytest
from prefect.filesystems import LocalFileSystem
from prefect.results import ResultStore

from tasks.records import DataVersion, TrainedModel, Validation
from tasks.registry import caching, mlflow_store

VERSION = DataVersion(
    name="a", digest="d", dvc_md5="m", git_commit="c", remote=None, num_files=1, num_bytes=1
)


def key(**arguments):
    return caching.base_key("fit", arguments)


def test_another_set_in_data_dvc_makes_nobodys_cache_stale():
    elsewhere = dataclasses.replace(VERSION, dvc_md5="other", git_commit="other", remote="s3://x")
    assert key(version=VERSION) == key(version=elsewhere)


def test_other_bytes_settings_or_tasks_are_another_key():
    keys = {
        key(version=VERSION),
        key(version=dataclasses.replace(VERSION, digest="e")),
        key(version=VERSION, seed=1),
        caching.base_key("pretrain", {"version": VERSION}),
    }
    assert len(keys) == 4


def test_a_repeated_validation_of_the_same_data_trains_nothing_again():
    once = Validation(
        run_id="r", data_digest="d", suite="s", num_expectations=1, failed=(), statistics={}
    )
    again = dataclasses.replace(once, run_id="q")
    other = dataclasses.replace(once, data_digest="e")
    assert key(validation=once) == key(validation=again) != key(validation=other)


def test_a_result_counts_only_while_its_run_is_there(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with mlflow_store.run("fit", "model", tags={}, params={}) as active:
        record = TrainedModel(run_id=active.info.run_id, model_uri="", data_digest="d")
        assert not caching.is_alive(record)
    assert caching.is_alive(record)
    mlflow_store.client().delete_run(record.run_id)
    assert not caching.is_alive(record)
    with pytest.raises(AttributeError):
        caching.is_alive("not a record")


@pytest.mark.parametrize("written", [b"", b'{"metadata": {"storage_key": "fi', b'"a record"'])
def test_a_result_that_was_written_halfway_is_computed_anew(tmp_path, written):
    store = ResultStore(result_storage=LocalFileSystem(basepath=str(tmp_path)))
    context = SimpleNamespace(task=SimpleNamespace(name="fit"), result_store=store)
    first = caching.cache_key(context, {"seed": 0})
    (tmp_path / first).write_bytes(written)
    assert caching.cache_key(context, {"seed": 0}) == first
    assert not store.exists(first)
