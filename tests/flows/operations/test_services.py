"""The whole of it, once: up, new data, retrain, serving, a killed server, up again, down."""

import json
import os
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import mlflow
import psutil
import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from flows.operations import services
from tasks.data.ingest import ingest_folder
from tasks.platform import background, prefect_server
from tests.conftest import CLEARED, make_repository
from tests.flows.conftest import RECIPE
from tests.flows.tiny import write

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
    return CliRunner().invoke(app, arguments)


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


def test_a_killed_worker_is_seen_and_up_again_mends_it(project):
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
