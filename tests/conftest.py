"""Fixtures that several rooms share: a repository of one's own, and one real Prefect server."""

import gc
import logging
import os
import shutil
import subprocess
import sys
from contextlib import chdir

import pytest

from tests import projects

CLEARED = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE", "MLFLOW_TRACKING_URI")


OURS = ("tasks", "flows", "models")
gc.set_threshold(
    50_000, 20, 100
)  # libraries are two million objects: to look through them takes .7 s


@pytest.fixture(autouse=True)
def loggers_as_they_were():
    """A server or a flow in this process sets our loggers up; the next test has them as before."""
    loggers = [logging.getLogger(name) for name in OURS]
    before = [(each.handlers[:], each.propagate, each.level) for each in loggers]
    yield
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture
def caplog(caplog, loggers_as_they_were):
    """Our records, whatever Prefect or uvicorn do to the root logger and to propagation."""
    for name in OURS:
        logger = logging.getLogger(name)
        logger.propagate = False  # each record once
        logger.addHandler(caplog.handler)
    return caplog


def make_repository(folder):
    """A git repository with one commit."""
    folder.mkdir(parents=True, exist_ok=True)
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", "init", "-q", folder], check=True)
    subprocess.run(
        ["git", *identity, "commit", "-qm", "Begin", "--allow-empty"], cwd=folder, check=True
    )
    return folder


def stop_server():
    """Stop this repository's Prefect server, once it was told all that this process has to tell.

    What Prefect still had to send, it would try to send for a minute at the end of the process.
    """
    from tasks.platform import prefect_server

    if "prefect.logging.handlers" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogHandler

        APILogHandler().flush()
        EventsWorker.drain_all(timeout=60)
    prefect_server.stop()


@pytest.fixture(scope="session", autouse=True)
def nothing_goes_on(tmp_path_factory):
    """Whatever commands of the tests started in the background ends with them."""
    yield
    from tasks.platform import background

    top = tmp_path_factory.getbasetemp()
    for depth in ("*", "*/*"):
        for processes in top.glob(f"{depth}/.unseen/processes"):
            with chdir(processes.parents[1]):
                for name in background.names():
                    background.stop(name)


@pytest.fixture(scope="session")
def orchestrated(tmp_path_factory):
    """A repository whose local Prefect server runs for the whole session; yields (folder, url)."""
    from tasks.platform import prefect_server

    folder = make_repository(tmp_path_factory.mktemp("orchestrated"))
    before = {name: os.environ.pop(name, None) for name in CLEARED}
    os.environ["PREFECT_PROFILE"] = "none-of-the-users"
    try:
        with chdir(folder):
            url = prefect_server.connect()
            prefect_server.wait_until_healthy(url)
            for name in CLEARED:
                os.environ.pop(name, None)
        yield folder, url
    finally:
        with chdir(folder):
            stop_server()
        os.environ.update({name: value for name, value in before.items() if value is not None})


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """An MLflow database without content; creating one takes seconds, copying it does not."""
    from mlflow import MlflowClient

    def make(folder):
        MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments(max_results=1)

    return projects.once(tmp_path_factory, "store", make) / "mlflow.db"


@pytest.fixture
def repository(tmp_path, empty_store, monkeypatch):
    """A git repository with an MLflow store, and the working directory of the test."""
    folder = make_repository(tmp_path / "repository")
    (folder / ".unseen").mkdir()
    shutil.copyfile(empty_store, folder / ".unseen" / "mlflow.db")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/.unseen/mlflow.db")
    import mlflow

    before = mlflow.get_tracking_uri()
    yield folder
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium; UNSEEN_BROWSER=required forbids to do without."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        reason = "There is no Chromium here: apt-get install chromium"
        if os.environ.get("UNSEEN_BROWSER") == "required":
            pytest.fail(f"UNSEEN_BROWSER=required. {reason}")
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
