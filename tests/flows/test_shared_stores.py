"""The whole story on a real PostgreSQL and a real S3, by two clones that share no file."""

import os
import shutil
import subprocess
import threading
import time
from contextlib import ExitStack, chdir, closing

import cv2
import mlflow
import numpy as np
import pytest
from filelock import Timeout
from mlflow import MlflowClient
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_LOCAL_STORAGE_PATH,
    temporary_settings,
)
from sqlalchemy import make_url
from typer.testing import CliRunner

from flows.cli.main import app
from flows.retrain import retrain
from models.errors import RegistryError
from tasks.data import dvc_cache, dvc_repository, versions
from tasks.housekeeping.prune import prune
from tasks.platform import locks, prefect_server
from tasks.platform.locks import Lock
from tasks.registry import mlflow_store, model_versions
from tasks.serving.champion import Champion
from tests.conftest import CLEARED, make_repository, stop_server
from tests.flows.conftest import RECIPE
from tests.flows.tiny import write
from tests.servers import KEY, SECRET, postgres, s3

psycopg2 = pytest.importorskip("psycopg2", reason="PostgreSQL's driver is in the extra scale")
pytestmark = pytest.mark.timeout(900)  # of a machine that is busy with other things
POOLED = RECIPE.replace(":tiny", ":pooled")


@pytest.fixture(scope="module")
def stores(empty_store):
    """Both servers, told to every tool by its own variables; yields the function to URLs."""
    before = mlflow.get_tracking_uri()
    with ExitStack() as stack:
        url, address = stack.enter_context(postgres()), stack.enter_context(s3())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in CLEARED:
            patch.setenv(name, "")
            patch.delenv(name)
        variables = {
            "PREFECT_PROFILE": "none-of-the-users",
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": url("asyncpg", "prefect"),
            "MLFLOW_TRACKING_URI": url("psycopg2", "mlflow"),
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://unseen/mlflow",
            "MLFLOW_S3_ENDPOINT_URL": address,
            "AWS_ENDPOINT_URL_S3": address,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "OMP_NUM_THREADS": "1",
        }
        for name, value in variables.items():
            patch.setenv(name, value)
        yield url
        mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def first(stores, tmp_path_factory):
    """The first machine, where the Prefect server runs; its data are in S3."""
    folder = make_repository(tmp_path_factory.mktemp("first") / "project")
    write(folder / "incoming", num_train=12, num_test=4)
    with chdir(folder):
        try:
            with dvc_repository.opened() as repo, repo.config.edit("repo") as config:
                config["remote"]["store"] = {"url": "s3://unseen/dvc"}
                config["core"] |= {"remote": "store", "analytics": False}
            run("ingest", "incoming", "--as", "tiny", "--push", "--commit")
            prefect_server.wait_until_healthy(prefect_server.connect())
            yield folder
        finally:
            stop_server()


@pytest.fixture(scope="module")
def second(first, tmp_path_factory):
    """Another machine: a clone, without data and without a store of its own."""
    folder = tmp_path_factory.mktemp("second") / "project"
    subprocess.run(["git", "clone", "-q", first, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def story(first, second):
    """Retrained on the first machine, and with another seed on the second."""
    with machine(first):
        one = retrain(POOLED)
    with machine(second):
        two = retrain(POOLED, seed=1)
    return one, two


def machine(folder):
    stack = ExitStack()
    api = os.environ["PREFECT_API_URL"]
    stack.enter_context(chdir(folder))
    home = folder / ".unseen" / "prefect"
    settings = {
        PREFECT_API_URL: api,
        PREFECT_HOME: home,
        PREFECT_LOCAL_STORAGE_PATH: home / "storage",
    }
    stack.enter_context(temporary_settings(settings))
    return stack


def run(*arguments):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_runs_and_models_are_in_postgresql_and_their_files_in_s3(story, stores):
    client = MlflowClient()
    version = client.get_model_version_by_alias("pooled", "champion")
    logged = client.get_logged_model(version.source.removeprefix("models:/"))
    assert logged.artifact_location.startswith("s3://unseen/mlflow/pooled/models/m-")
    url = make_url(stores("psycopg2", "prefect")).set(drivername="postgresql")
    with closing(psycopg2.connect(url.render_as_string(hide_password=False))) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM flow_run WHERE state_type = 'COMPLETED'")
        assert cursor.fetchone()[0] == 2


def test_the_second_machine_got_the_data_from_s3_and_judged_its_model_by_the_first_ones(
    story, second
):
    one, two = story
    assert (one.action, one.champion, two.version) == ("promote", 1, 2)
    assert "of version 1" in two.why
    with chdir(second):
        version = versions.current("tiny")
        assert not dvc_cache.missing(entry.md5 for entry in versions.entries(version))
        assert version.remote == "s3://unseen/dvc"


def test_what_was_promoted_on_one_machine_serves_on_the_other(story, second):
    decision = [each for each in story if each.action == "promote"][-1]
    with chdir(second):
        champion = Champion("pooled", poll_seconds=60)
        champion.refresh()
    assert champion.deployed.version == decision.version
    discs = sorted((second / "data" / "tiny" / "test" / "disc").glob("*.png"))
    frames = np.stack([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in discs])
    assert np.isfinite(champion.deployed.packaged.predict(frames).image_score).all()


def test_a_trace_on_the_other_machine_restores_every_byte(story, second, first):
    with chdir(second):
        shutil.rmtree(dvc_cache.cache_folder())
        run("trace", "pooled@1", "--restore", "restored")
        for path in (first / "incoming").rglob("*.png"):
            copy = second / "restored" / path.relative_to(first / "incoming")
            assert copy.read_bytes() == path.read_bytes()


def test_a_rollback_on_one_machine_is_a_rollback_on_the_other(story, first, second):
    with chdir(first):
        if model_versions.aliases(mlflow_store.client(), "pooled")["champion"] == 1:
            mlflow_store.client().set_registered_model_alias("pooled", "champion", "2")
        run("rollback", "pooled", "--why", "a test")
    with chdir(second):
        assert model_versions.aliases(mlflow_store.client(), "pooled")["champion"] == 1
        assert "a test" in run("history", "pooled")


def test_a_model_is_fetched_from_s3_once(story, second):
    with chdir(second):
        version = MlflowClient().get_model_version("pooled", "1")
        folder = model_versions.folder(version.source)
        assert folder.is_relative_to(second / ".unseen" / "downloads")
        before = (folder / "lineage.json").stat()
        assert (model_versions.folder(version.source) / "lineage.json").stat() == before


def test_pruning_deletes_rows_and_files_of_what_nobody_needs(story, first):
    with chdir(first):
        with mlflow_store.run("fit", "pooled", tags={}, params={}) as active:
            mlflow.log_text("x", "x.txt")
        place = active.info.artifact_uri
        assert mlflow.artifacts.list_artifacts(place)
        later = time.time() + 2 * 86400
        prune(1, delete=True, now=later)
        assert not mlflow.artifacts.list_artifacts(place)
        assert model_versions.load(MlflowClient().get_model_version("pooled", "1"))


def test_two_machines_hold_a_lock_one_after_the_other(story, first, second):
    with chdir(first):
        here = Lock("pooled.decision")
    with chdir(second):
        there = Lock("pooled.decision")
    with here:
        with pytest.raises(Timeout):
            there.acquire(wait=False)
        assert there.holder().startswith("unseen ")
    order = []

    def wait():
        with there:
            order.append("there")

    with here:
        waiting = threading.Thread(target=wait)
        waiting.start()
        order.append("here")
    waiting.join(60)
    assert order == ["here", "there"]
    assert there.holder() is None


def test_a_lock_whose_connection_was_lost_is_noticed(story, first, stores):
    with chdir(first), Lock("pooled.decision") as lock:
        lock.check()
        url = make_url(stores("psycopg2", "mlflow")).set(drivername="postgresql")
        connection = psycopg2.connect(url.render_as_string(hide_password=False))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            )
        connection.close()
        with pytest.raises(RegistryError, match="must stay connected"):
            lock.check()


def test_a_database_that_does_not_answer_is_named_without_its_password(story, first, monkeypatch):
    monkeypatch.setenv(locks.VARIABLE, "postgresql://ada:secret@127.0.0.1:9/mlflow")
    with chdir(first), pytest.raises(RegistryError, match=r"answer at .*127\.0\.0\.1:9") as failed:
        Lock("a").acquire()
    assert "secret" not in str(failed.value)
