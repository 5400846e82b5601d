import pytest

from models.errors import InvalidInputError
from tasks.platform import background
from tasks.registry import mlflow_server


def test_beside_a_configured_server_no_other_is_started(repository, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    assert mlflow_server.configured_url() == "https://mlflow.example"
    assert mlflow_server.start() is None
    assert background.living() == set()


def test_a_local_store_is_no_server(repository):
    assert mlflow_server.configured_url() is None


def test_a_port_that_cannot_be_had_is_said(repository):
    with pytest.raises(InvalidInputError, match="Port 99999 must be free"):
        mlflow_server.start(99999)


def test_nobody_answers_at_a_free_port():
    assert not mlflow_server.is_healthy("http://127.0.0.1:9")
