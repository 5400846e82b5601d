import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import _crash_checks as checks
from flows.cli.main import app, main
from tasks.platform import background
from tests.conftest import make_repository
from tests.flows.conftest import RECIPE
from tests.flows.tiny import write


def unseen(*arguments):
    return CliRunner().invoke(app, arguments, catch_exceptions=True)


COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command):
    shown = unseen(command, "--help")
    assert shown.exit_code == 0
    assert len(shown.output) > 200 or command in {"recipes", "datasets", "models"}


def command_line(folder, url, temporary, *arguments):
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "HOME": str(folder),
        "TMPDIR": str(temporary),
        "PREFECT_API_URL": url,
        "PREFECT_HOME": str(folder / ".unseen" / "prefect"),
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
        "UNSEEN_PROGRAMS": "none",
        "COLUMNS": "120",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def repository(tmp_path):
    folder = make_repository(tmp_path / "repository")
    write(folder / "incoming")
    return folder


def test_a_killed_run_resumes_after_the_last_finished_step_and_leaves_nothing(
    repository, orchestrated, tmp_path
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    arguments = ("retrain", "-r", RECIPE, "--data", "incoming")
    killed = command_line(repository, orchestrated[1], temporary, *arguments)
    log = ""
    for line in killed.stderr:
        log += line
        if re.search(r"Task run 'pretrain.*Completed", line):
            killed.send_signal(signal.SIGKILL)
            break
    killed.wait()
    assert killed.returncode == -signal.SIGKILL, log
    before = checks.read(repository)
    assert checks.problems(repository, before) == []
    assert list(temporary.iterdir())
    resumed = command_line(repository, orchestrated[1], temporary, *arguments)
    output, log = resumed.communicate(timeout=400)
    assert resumed.returncode == 0, log
    assert re.search(r"pretrain\s+reused, unchanged", output), output
    assert re.search(r"fit\s+computed in", output), output
    after = checks.read(repository)
    assert checks.problems(repository, after) == []
    assert checks.lost(before, after) == []
    assert checks.computed_again(before, after) == []
    assert checks.leftovers(repository, temporary) == []
    assert after.aliases["tiny", "champion"] == 1
    assert ("fit", "RUNNING") not in after.runs.values()


@pytest.fixture
def command(workplace, orchestrated, monkeypatch, capsys):
    """Function that runs a command here: its exit code, and what it printed to stderr."""
    monkeypatch.setenv("PREFECT_API_URL", orchestrated[1])
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["unseen", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, " ".join(capsys.readouterr().err.split())

    return run


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["retrain", "--recipe", "srews"], 2, "There is no recipe 'srews'"),
        (["trace", "nobody"], 2, "nobody"),
        (["trace"], 2, "needs a model, a file or a prediction"),
        (["monitor", "nobody"], 2, "nobody"),
        (["rollback", "nobody"], 2, "nobody"),
        (["promote", "nobody", "1"], 2, "nobody"),
        (["ingest", "nowhere", "--as", "x"], 2, "nowhere"),
    ],
)
def test_mistakes_end_in_one_sentence_and_an_exit_code(command, arguments, code, message):
    ended, log = command(*arguments)
    assert ended == code, log
    assert f"error: {message}" in log or message in log
    assert "Traceback" not in log


def test_outside_a_repository_it_says_what_to_do(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, log = command("models")
    assert code == 1
    assert "git init" in log


@pytest.mark.parametrize("asked", [["models"], ["retrain"], ["retrain", "--explain"]])
def test_a_store_that_does_not_answer_ends_in_one_sentence(command, monkeypatch, asked):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    before = background.find("prefect")
    code, log = command(*asked)
    assert background.find("prefect") == before  # nothing is started for a run that cannot be kept
    assert code == 1
    assert "MLflow must answer at http://127.0.0.1:9" in log
    assert "Traceback" not in log
