import logging
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from benchmarks import _crash_checks as checks
from flows.cli.main import PANELS, app, main
from models import errors
from tasks.platform import background
from tests.conftest import make_repository
from tests.flows.conftest import RECIPE
from tests.flows.tiny import write


def unseen(*arguments):
    return CliRunner().invoke(app, arguments, catch_exceptions=True)


def test_the_version_is_said():
    assert re.fullmatch(r"unseen \d+\.\d+\.\d+\n", unseen("--version").stdout)


NO_TABLE = {
    *("promote", "rollback", "pin", "unpin", "serve", "watch", "film", "export", "down", "console"),
    *("backup", "restore-backup", "recipe show", "keys add", "keys remove"),
    *("notify add", "notify remove", "notify test"),
}
"""Commands that print a sentence, what was asked for, or nothing; all others print tables."""


def walk(command, name=""):
    """Every command that does something, by the words that call it."""
    for word, each in getattr(command, "commands", {}).items():
        path = f"{name} {word}".strip()
        if hasattr(each, "commands"):
            yield from walk(each, path)
        else:
            yield path, each


COMMANDS = dict(walk(typer.main.get_command(app)))
each_command = pytest.mark.parametrize("name", COMMANDS)


@each_command
def test_help_teaches_by_examples_that_can_be_copied_at_80_columns(name):
    shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "80"})
    assert shown.exit_code == 0
    lines = [line.strip() for line in shown.output.splitlines()]
    examples = lines[lines.index("Examples:") :]
    assert [line for line in examples if line.startswith(f"unseen {name}")]
    assert all(line in COMMANDS[name].epilog for line in examples)
    assert max(map(len, shown.output.splitlines())) <= 80
    assert "…" not in shown.output


@each_command
def test_examples_have_options_that_exist(name):
    options = {option for each in COMMANDS[name].params for option in each.opts}
    ours = [
        each for each in COMMANDS[name].epilog.splitlines() if each.startswith(f"unseen {name}")
    ]
    used = {word for each in ours for word in each.split() if word.startswith("--")}
    assert used <= options


@each_command
def test_what_is_printed_as_a_table_can_be_had_as_json(name):
    options = {option for each in COMMANDS[name].params for option in each.opts}
    assert ("--json" in options) == (name not in NO_TABLE)


def test_every_command_stands_in_a_group_of_the_help():
    for word, command in typer.main.get_command(app).commands.items():
        assert command.rich_help_panel in PANELS, word


def test_the_help_tells_every_exit_code_as_the_page_does():
    told = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    page = (Path(__file__).parents[3] / "docs" / "reference" / "exit-codes.md").read_text()
    classes = [vars(errors)[name] for name in dir(errors) if name.endswith("Error")]
    codes = {each.exit_code for each in classes} | {0, 5, 130}
    for code in sorted(codes):
        assert re.search(rf"^ *{code}  +\w", told, re.MULTILINE), code
        assert re.search(rf"^\| {code} \|", page, re.MULTILINE), code


def test_no_color_is_respected_and_completion_can_be_installed():
    coloured = CliRunner().invoke(app, ["--help"], env={"FORCE_COLOR": "1"}, color=True).output
    plain = (
        CliRunner()
        .invoke(app, ["--help"], env={"FORCE_COLOR": "1", "NO_COLOR": "1"}, color=True)
        .output
    )
    colours = re.compile("\x1b\\[[0-9;]*(3[0-9]|4[0-9]|9[0-7])m")
    assert colours.search(coloured)
    assert not colours.search(plain)
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).output
    done = subprocess.run(
        [sys.executable, "-c", "from flows.cli.main import main; main()"],
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "_UNSEEN_COMPLETE": "complete_bash",
            "COMP_WORDS": "unseen ret",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "retrain" in done.stdout


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
def repository(tmp_path, empty_store):
    folder = make_repository(tmp_path / "repository")
    write(folder / "incoming")
    (folder / ".unseen").mkdir()
    shutil.copyfile(empty_store, folder / ".unseen" / "mlflow.db")
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

    for handler in logging.root.handlers:  # Prefect's writes to the screen of an earlier test
        if hasattr(handler, "console"):
            monkeypatch.setattr(handler, "console", Console(stderr=True))

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
