import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mlflow
import pytest

from models.errors import RegistryError
from tasks.platform import prefect_server
from tasks.registry import mlflow_store
from tasks.training import crash_remains
from tasks.training.retrain_turn import turn
from tests.tasks.flow_runs import SECONDS, flow_run


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_all_temporary_files_lie_in_one_folder_that_is_gone_afterwards(temporary):
    folder = crash_remains.scratch_name()
    with crash_remains.scratch(folder):
        made = Path(tempfile.mkdtemp())
        (made / "model.bin").write_bytes(b"weights")
        assert made.parent == folder
        assert os.environ["TMPDIR"] == str(folder)
        assert folder.stat().st_mode & 0o077 == 0
    assert list(temporary.iterdir()) == []
    assert tempfile.gettempdir() == str(temporary)
    assert os.environ.get("TMPDIR") != str(folder)


def test_the_temporary_files_of_a_killed_one_are_taken_away_and_no_others(temporary):
    left = crash_remains.scratch_name()
    (left / "tmp123").mkdir(parents=True)
    foreign = temporary / "somebody-elses"
    foreign.mkdir()
    crash_remains.clear("squares", {"scratch": str(left), "flow_run": ""})
    crash_remains.clear("squares", {"scratch": str(foreign), "flow_run": ""})
    crash_remains.clear("squares", {})
    assert list(temporary.iterdir()) == [foreign]


def test_unfinished_runs_of_a_killed_one_are_marked_and_others_stay(repository):
    client = mlflow_store.client()
    experiment = client.create_experiment("squares")

    def run(of, status="RUNNING"):
        made = client.create_run(experiment, tags={"unseen.flow_run_id": of})
        if status != "RUNNING":
            client.set_terminated(made.info.run_id, status)
        return made.info.run_id

    mine, done, other = run("dead"), run("dead", "FINISHED"), run("alive")
    crash_remains.clear("squares", {"flow_run": "dead"})
    crash_remains.clear("circles", {"flow_run": "alive"})
    found = [mlflow.get_run(each).info.status for each in (mine, done, other)]
    assert found == ["KILLED", "FINISHED", "RUNNING"]


def test_the_flow_run_of_a_killed_one_is_marked_as_crashed(repository, orchestrated, monkeypatch):
    url = orchestrated[1]
    monkeypatch.setenv("PREFECT_API_URL", url)
    killed, ended = flow_run(url, "RUNNING")["id"], flow_run(url, "COMPLETED")["id"]
    for each in (killed, ended):
        crash_remains.clear("squares", {"flow_run": each})

    def state(each):
        return prefect_server.call(url, "GET", f"/flow_runs/{each}", seconds=SECONDS)["state_type"]

    assert [state(killed), state(ended)] == ["CRASHED", "COMPLETED"]


def test_a_flow_run_that_was_killed_before_it_had_a_turn_is_marked_too(
    repository, orchestrated, monkeypatch
):
    url = orchestrated[1]
    monkeypatch.setenv("PREFECT_API_URL", url)
    killed, living = flow_run(url, "RUNNING")["id"], flow_run(url, "RUNNING")["id"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    script = "from tasks.training import crash_remains as c; c.flow_run.current = lambda: {!r}; "
    script += "import os; n = c.noted(); n.__enter__(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script.format(killed)], env=environment, check=False)
    monkeypatch.setattr(crash_remains.flow_run, "current", lambda: living)
    with crash_remains.noted():
        monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
        crash_remains.mark_dead()
        assert len(list(crash_remains._notes().iterdir())) == 2
        monkeypatch.setenv("PREFECT_API_URL", url)
        crash_remains.mark_dead()
        assert [each.stem for each in crash_remains._notes().iterdir()] == [living]
        states = [
            prefect_server.call(url, "GET", f"/flow_runs/{each}", seconds=SECONDS)["state_type"]
            for each in (killed, living)
        ]
    assert states == ["CRASHED", "RUNNING"]
    assert not list(crash_remains._notes().iterdir())


def test_a_server_that_is_gone_does_not_stop_the_next_one(repository, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr(crash_remains, "SECONDS", 5.0)
    began = time.monotonic()
    crash_remains.clear("squares", {"flow_run": "00000000-0000-0000-0000-000000000000"})
    assert time.monotonic() - began < 60  # it was not awaited


def test_runs_that_a_failed_one_could_not_end_are_ended_by_the_next(repository, monkeypatch):
    client = mlflow_store.client()
    experiment = client.create_experiment("squares")
    monkeypatch.setattr(crash_remains.flow_run, "current", lambda: "failed")
    run = client.create_run(experiment, tags={"unseen.flow_run_id": "failed"})
    with pytest.raises(RegistryError), turn("squares"):
        raise RegistryError("The store is locked.")
    monkeypatch.setattr(crash_remains.flow_run, "current", lambda: "next")
    with turn("squares"):
        assert mlflow.get_run(run.info.run_id).info.status == "KILLED"
