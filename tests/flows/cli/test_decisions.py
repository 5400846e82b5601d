"""Promote, rollback and history by command, on a registry whose versions are real packages."""

import json

import pytest
from typer.testing import CliRunner

from flows.cli import output
from flows.cli.main import app
from models.errors import ConflictError
from tasks.registry import mlflow_store, model_versions
from tests.tasks.conftest import (  # noqa: F401 - a registry with packaged detectors
    log_detector,
    register_detector,
    registered,
    tiny_detector,
)


def unseen(*arguments):
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Tables that do not break words, whatever width the console had when it was imported."""
    monkeypatch.setattr(output.console, "_width", 200)


@pytest.fixture
def two_versions(registered):  # noqa: F811
    registered({"seed": 0}, {"seed": 1})
    return mlflow_store.client()


def test_an_operator_promotes_takes_back_and_reads_it_all_again(two_versions):
    first = unseen("promote", "squares", "1", "--why", "It is the first.")
    assert "squares: version 1 serves." in first.output
    second = unseen("promote", "squares", "2", "--why", "It is better.", "--instead-of", "1")
    assert "version 2 serves instead of 1" in second.output
    back = unseen("rollback", "squares", "--why", "It misses carts.", "--instead-of", "2")
    assert "version 1 serves again instead of 2" in back.output
    late = unseen("rollback", "squares", "--instead-of", "2")
    assert isinstance(late.exception, ConflictError)
    assert late.exception.exit_code == 4
    assert model_versions.aliases(two_versions, "squares")["champion"] == 1
    told = unseen("history", "squares").output
    for word in ("It is the first.", "It is better.", "It misses carts.", "rollback"):
        assert word in told


def test_a_pin_is_seen_wherever_one_looks(two_versions):
    unseen("promote", "squares", "1")
    told = unseen("pin", "squares", "2", "--why", "An audit.").output
    assert "version 2 serves instead of 1, and no retrain promotes another" in told
    assert json.loads(unseen("models", "--json").output)[0]["champion"] == 2
    assert json.loads(unseen("history", "squares", "--json").output)[-1]["action"] == "pin"
    assert "2 (pinned)" in unseen("models").output
    assert "No retrain promotes a version: pin by" in unseen("history", "squares").output
    assert "the next retrain promotes" in unseen("unpin", "squares").output
    assert "pinned" not in unseen("models").output


def test_what_was_done_with_mlflow_is_entered_by_any_command_that_looks(two_versions):
    unseen("promote", "squares", "1")
    two_versions.set_registered_model_alias("squares", "champion", "2")
    assert "set in MLflow" in unseen("history", "squares").output
    two_versions.delete_model_version("squares", "2")
    assert unseen("models").output.splitlines()[1].split()[:4] == ["squares", "1", "-", "-"]
    assert "Version 2 was deleted" in unseen("history", "squares").output
    assert "version 1 serves again" in unseen("rollback", "squares").output
