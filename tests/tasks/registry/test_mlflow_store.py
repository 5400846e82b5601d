import os
import subprocess
from dataclasses import dataclass, field

import pytest

from models.errors import RegistryError
from tasks.registry import mlflow_store


@pytest.fixture
def store(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5


@dataclass(frozen=True)
class Outer:
    name: str = "a"
    inner: Inner = field(default_factory=Inner)


def test_nested_settings_become_dotted_parameters():
    assert mlflow_store.flatten(Outer()) == {"name": "a", "inner.rate": "0.5"}


def test_a_run_can_be_traced_and_a_failed_one_is_marked(store):
    with mlflow_store.run("fit", "model", tags={"data_digest": "d"}, params={"a": "1"}) as active:
        run_id = active.info.run_id
    run = mlflow_store.client().get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["unseen.data_digest"] == "d"
    assert run.data.tags["unseen.git_commit"] == "unborn"
    assert run.data.tags["unseen.version.torch"]
    with (
        pytest.raises(ZeroDivisionError),
        mlflow_store.run("fit", "model", tags={}, params={}) as active,
    ):
        raise ZeroDivisionError
    assert mlflow_store.client().get_run(active.info.run_id).info.status == "FAILED"


def test_a_store_that_does_not_answer_is_a_clear_error(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError, match="MLflow must answer at"):
        mlflow_store.client()
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:9"
