import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
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


def command_line(folder, url, *arguments):
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOME": str(folder),
        "PREFECT_API_URL": url,
        "PREFECT_HOME": str(folder / ".unseen" / "prefect"),
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
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


def test_a_killed_run_resumes_after_the_last_finished_step(repository, orchestrated):
    killed = command_line(
        repository, orchestrated[1], "retrain", "-r", RECIPE, "--data", "incoming"
    )
    log = ""
    for line in killed.stderr:
        log += line
        if re.search(r"Task run 'pretrain.*Completed", line):
            killed.send_signal(signal.SIGKILL)
            break
    killed.wait()
    assert killed.returncode == -signal.SIGKILL, log
    time.sleep(0.1)
    resumed = command_line(
        repository, orchestrated[1], "retrain", "-r", RECIPE, "--data", "incoming"
    )
    output, log = resumed.communicate(timeout=400)
    assert resumed.returncode == 0, log
    assert re.search(r"pretrain\s+reused, unchanged", output), output
    assert re.search(r"fit\s+computed in", output), output
    traced, _ = command_line(repository, orchestrated[1], "trace", "tiny", "--json").communicate()
    assert json.loads(traced)["data"]["version"]["name"] == "tiny"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["retrain", "--recipe", "srews"], 2, "There is no recipe 'srews'"),
        (["trace", "nobody"], 2, "nobody"),
        (["trace"], 2, "needs a model, a file or a prediction"),
        (["monitor", "nobody"], 2, "nobody"),
        (["rollback", "nobody"], 2, "nobody"),
        (["ingest", "nowhere", "--as", "x"], None, "nowhere"),
    ],
)
def test_mistakes_end_in_one_sentence_and_an_exit_code(
    repository, orchestrated, arguments, code, message
):
    process = command_line(repository, orchestrated[1], *arguments)
    _, log = process.communicate(timeout=300)
    assert process.returncode == code if code else process.returncode != 0, log
    assert message in log
    assert "Traceback" not in log


def test_outside_a_repository_it_says_what_to_do(tmp_path, orchestrated):
    process = command_line(tmp_path, orchestrated[1], "models")
    _, log = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "git init" in log
