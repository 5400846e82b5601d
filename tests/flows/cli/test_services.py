from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import services
from flows.cli.main import app
from models.errors import InvalidInputError


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_recipes_of_files_are_found_from_anywhere(project):
    assert services._absolute("mine.py:recipe") == f"{project.resolve()}/mine.py:recipe"
    assert services._absolute("mine.toml") == f"{project.resolve()}/mine.toml"
    assert services._absolute("walkway") == "walkway"


def test_up_tells_what_it_starts_and_what_it_takes():
    shown = CliRunner().invoke(app, ["up", "--help"], env={"COLUMNS": "200"}).output
    for word in (
        "--recipe",
        "--retrain-cron",
        "--timezone",
        "--systemd",
        "--monitor-minutes",
        "--if-busy",
        "503",
        "reboot",
    ):
        assert word in shown


def test_where_nothing_should_run_there_is_nothing_to_stop(project):
    stopped = CliRunner().invoke(app, ["down"])
    assert (stopped.exit_code, stopped.output.strip()) == (0, "Nothing ran here.")


def test_options_that_make_no_sense_start_nothing(project):
    refused = CliRunner().invoke(app, ["up", "--monitor-minutes", "5", "--timezone", "Mars/Base"])
    assert isinstance(refused.exception, InvalidInputError)
    assert not (Path(project) / ".unseen" / "processes").exists()
