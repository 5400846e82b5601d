"""The whole of it, once: up, new data, retrain, serving, a killed server, up again, down."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import mlflow
import psutil
import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from flows.operations import desired_state, keep_up, services
from models.errors import InvalidInputError
from tasks.data.ingest import ingest_folder
from tasks.platform import background, prefect_server
from tasks.platform.identity import pool
from tasks.training.retrain_turn import turn
from tests.conftest import CLEARED, make_repository
from tests.flows.conftest import RECIPE
from tests.flows.tiny import write

ROOT = Path(__file__).parents[3]
KNN = RECIPE.replace(":tiny", ":tiny_knn")


@pytest.fixture(scope="module")
def project(tmp_path_factory, empty_store):
    """A project in which everything was started; the working directory of the module."""
    folder = make_repository(tmp_path_factory.mktemp("services") / "project")
    write(folder / "incoming", num_train=12, num_test=4)
    (folder / ".unseen").mkdir()
    shutil.copyfile(empty_store, folder / ".unseen" / "mlflow.db")
    before = mlflow.get_tracking_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in CLEARED:
            patch.setenv(name, "")  # what a command sets is taken back, too
            patch.delenv(name)
        patch.setenv("PREFECT_PROFILE", "none-of-the-users")
        patch.setenv("PREFECT_WORKER_QUERY_SECONDS", "1")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/.unseen/mlflow.db")
        try:
            started = unseen("up", "--recipe", KNN, "--retrain-cron", "0 3 1 1 *")
            assert started.exit_code == 0, started.output
            yield folder
        finally:
            services.down()
            mlflow.set_tracking_uri(before)


def unseen(*arguments):
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def until(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, [
            background.log_file(name).read_text()[-2000:] for name in background.names()
        ]
        time.sleep(0.3)
    return found


def runs():
    found = prefect_server.call(
        prefect_server.running(), "POST", "/flow_runs/filter", content={}, seconds=60
    )
    return [each for each in found if not each["auto_scheduled"]]


@contextmanager
def store(uri):
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        yield mlflow.MlflowClient(uri)
    finally:
        mlflow.set_tracking_uri(before)


def test_everything_is_up_and_well_before_there_is_a_champion(project):
    shown = unseen("status", "--json")
    found = json.loads(shown.output)
    assert shown.exit_code == 0
    assert [each["name"] for each in found["services"]] == [
        "prefect",
        "mlflow",
        "worker",
        "serve-tiny_knn",
        "console",
    ]
    assert found["champions"] == {}
    planned = {each["name"]: each for each in found["deployments"]}
    assert planned["retrain/tiny_knn"]["schedule"] == "0 3 1 1 * UTC"
    assert planned["retrain/tiny_knn"]["next_run"].endswith("-01-01 03:00:00")
    answer = httpx.get(f"{background.find('serve-tiny_knn').url}/health")
    assert answer.status_code == 503


def test_a_new_data_version_starts_a_retrain_whose_champion_is_served(project):
    ingest_folder("incoming", name="tiny")
    assert until(lambda: [each for each in runs() if each["state_type"] == "COMPLETED"])
    (run,) = runs()
    assert run["parameters"] == {"recipe": KNN, "if_busy": "wait"}
    serving = background.find("serve-tiny_knn").url
    assert until(lambda: httpx.get(f"{serving}/health").json().get("version")) == 1
    console = background.find("console").url
    health = httpx.get(f"{console}/api/detectors/tiny_knn/serving", timeout=60).json()
    assert (health["state"], health["version"], health["url"]) == ("ok", 1, serving)
    assert httpx.get(serving).headers["location"] == console


def test_a_run_that_waits_for_its_turn_has_no_process_and_runs_later(project):
    def ask(method, path, content=None):
        api = prefect_server.running()
        return prefect_server.call(api, method, path, content=content, seconds=60)

    made = ask("GET", "/deployments/name/retrain/tiny_knn")
    with turn("tiny_knn"):
        run = ask("POST", f"/deployments/{made['id']}/create_flow_run", {})
        path = f"/flow_runs/{run['id']}"
        until(lambda: ask("GET", path)["state_name"] == "AwaitingRetry")
        assert "waiting for the turn" in ask("GET", path)["state"]["message"]
        until(lambda: not any("prefect.engine" in " ".join(each) for each in commands()))
    now = {"type": "SCHEDULED", "state_details": {"scheduled_time": datetime.now(UTC).isoformat()}}
    ask("POST", f"{path}/set_state", {"state": now, "force": True})  # not in half a minute
    until(lambda: ask("GET", path)["state_type"] == "COMPLETED")
    wanted = {"logs": {"flow_run_id": {"any_": [run["id"]]}}}
    told = [each["message"] for each in ask("POST", "/logs/filter", wanted)]
    assert any("waiting for the turn" in each for each in told)


def commands():
    """Commands of all processes below the worker."""
    for process in background._family("worker"):
        try:
            yield process.cmdline()
        except psutil.Error:
            continue


def test_the_same_data_again_start_nothing(project):
    before = len(runs())
    ingest_folder("incoming", name="tiny")
    time.sleep(2)
    assert len(runs()) == before


def test_models_resolve_through_the_server_and_without_it(project, tmp_path):
    sizes = []
    for uri in (background.find("mlflow").url, f"sqlite:///{project}/.unseen/mlflow.db"):
        with store(uri) as client:
            version = client.get_model_version_by_alias("tiny_knn", "champion")
            folder = mlflow.artifacts.download_artifacts(version.source)
            sizes.append(len([path for path in Path(folder).rglob("*") if path.is_file()]))
    assert sizes[0] == sizes[1] > 0


def test_an_experiment_made_through_the_server_keeps_its_artifacts_with_the_others(project):
    with store(background.find("mlflow").url) as client:
        made = client.get_experiment(client.create_experiment("by http"))
    assert made.artifact_location.startswith((project / ".unseen" / "artifacts").as_uri())


def own_process(name):
    """Process of a service, below its supervisor."""
    supervisor = background.find(name).pid
    found = [each for each in psutil.Process(supervisor).children() if each.is_running()]
    return found[0].pid if found else None


def test_whatever_is_killed_comes_back_at_the_same_place_and_is_counted(project):
    before = {name: (background.find(name), own_process(name)) for name in background.names()}
    assert len(before) == 5
    for _, pid in before.values():
        os.kill(pid, signal.SIGKILL)
    until(lambda: all(own_process(name) not in (None, pid) for name, (_, pid) in before.items()))
    until(lambda: unseen("status").exit_code == 0)
    for name, (process, _) in before.items():
        assert background.find(name) == process
        assert background.restarts(name) >= 1
    (line,) = [each for each in unseen("status").output.splitlines() if "serve-tiny" in each]
    assert line.rstrip().endswith("1")
    serving = background.find("serve-tiny_knn").url
    assert until(lambda: httpx.get(f"{serving}/health").json().get("version")) == 1


def test_a_killed_supervisor_is_seen_and_up_again_mends_it(project):
    before = {name: background.find(name) for name in background.names()}
    os.kill(before["worker"].pid, signal.SIGKILL)
    until(lambda: background.find("worker") is None)
    shown = unseen("status", "--json")
    assert shown.exit_code == 1
    ill = [each for each in json.loads(shown.output)["services"] if not each["well"]]
    assert [(each["name"], each["health"]) for each in ill] == [("worker", "not running")]
    again = unseen("up")
    assert again.exit_code == 0, again.output
    after = {name: background.find(name) for name in background.names()}
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {"worker"}


def test_what_a_person_stops_in_prefect_is_told_and_stays_stopped(project):
    def change(method, path, content=None):
        api = prefect_server.running()
        return prefect_server.call(api, method, path, content=content, seconds=60)

    made = change("GET", "/deployments/name/retrain/tiny_knn")
    (schedule,) = made["schedules"]
    path = f"/deployments/{made['id']}/schedules/{schedule['id']}"
    change("PATCH", path, {"active": False})
    shown = unseen("status")
    assert shown.exit_code == 1
    assert "schedule is paused in Prefect" in " ".join(shown.output.split())
    again = unseen("up")
    assert "left alone: retrain/tiny_knn: its schedule is paused in Prefect" in again.output
    assert not change("GET", f"/deployments/{made['id']}")["schedules"][0]["active"]
    change("PATCH", path, {"active": True})
    change("PATCH", f"/work_pools/{pool()}", {"is_paused": True})
    assert "its work pool is paused" in " ".join(unseen("status").output.split())
    change("PATCH", f"/work_pools/{pool()}", {"is_paused": False})
    change("DELETE", f"/deployments/{made['id']}")
    shown = unseen("status")
    assert (shown.exit_code, "missing in Prefect" in " ".join(shown.output.split())) == (1, True)
    assert unseen("up").exit_code == 0
    assert unseen("status").exit_code == 0


def test_a_port_that_is_taken_starts_nothing_and_is_not_remembered(project):
    before = {name: background.find(name) for name in background.names()}
    remembered = (project / ".unseen" / "up.json").read_text()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = unseen("up", "--serve-port", str(taken.getsockname()[1]))
    assert isinstance(refused.exception, InvalidInputError)
    assert (project / ".unseen" / "up.json").read_text() == remembered
    assert {name: background.find(name) for name in background.names()} == before


def test_down_leaves_nothing_even_of_what_was_killed(project):
    os.kill(background.find("mlflow").pid, signal.SIGKILL)
    assert "mlflow" in background.living()  # a child of it
    stopped = unseen("down")
    assert (stopped.exit_code, "prefect" in stopped.output) == (0, True)
    assert background.living() == set()
    assert background.names() == []
    every = psutil.process_iter(["cmdline"])
    assert not [each for each in every if str(project) in " ".join(each.info["cmdline"] or ())]
    assert unseen("status").exit_code == 0


def test_what_systemd_runs_brings_all_back_and_mends_a_lost_supervisor(project):
    (line,) = [each for each in keep_up.unit({}).splitlines() if each.startswith("ExecStart=")]
    command = shlex.split(line.removeprefix("ExecStart="))
    log = project / "systemd.log"
    with log.open("wb") as output:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
        running = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        until(lambda: running.poll() is not None or b"retrain/tiny_knn" in log.read_bytes())
        assert running.poll() is None, log.read_text()
        found = json.loads(unseen("status", "--json").output)
        planned = {each["name"]: each["schedule"] for each in found["deployments"]}
        assert planned["retrain/tiny_knn"] == "0 3 1 1 * UTC"
        before = {name: background.find(name) for name in background.names()}
        os.kill(before["console"].pid, signal.SIGKILL)
        until(lambda: background.find("console") not in (None, before["console"]))
        until(lambda: unseen("status").exit_code == 0)
        after = {name: background.find(name) for name in background.names()}
        assert {name for name in after if after[name] != before[name]} == {"console"}
        running.terminate()
        assert running.wait(120) == 0
        assert background.living() == set()
        assert desired_state.changed({}).recipes == (KNN,)
    finally:
        running.kill()
