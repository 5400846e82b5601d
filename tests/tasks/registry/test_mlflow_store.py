import os
import subprocess
from dataclasses import dataclass, field

import pytest
from filelock import FileLock

from models.errors import RegistryError
from tasks.platform import workspace
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


@pytest.mark.parametrize("host", ["127.0.0.1:9", "192.0.2.1:5000"])
def test_a_dead_tracking_server_is_told_at_once_and_names_the_proxy(host, store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{host}")
    monkeypatch.setattr(mlflow_store, "ANSWER_SECONDS", 0.5)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:10")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    with pytest.raises(RegistryError, match=f"MLflow must answer at http://{host}") as told:
        mlflow_store.client()
    assert ("the proxy http://127.0.0.1:10" in str(told.value)) is host.startswith("192")


def test_reading_takes_no_lock_once_the_tables_are_there(store):
    mlflow_store.client()
    lock = FileLock(workspace.home() / "mlflow.lock", is_singleton=False)
    with lock:
        assert mlflow_store.client().search_registered_models() == []
