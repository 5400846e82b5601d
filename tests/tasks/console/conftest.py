"""A registry worth looking at, and its console, also in a real browser."""

import json
import re
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient

from tests import projects
from tests.app_server import running
from tests.tasks.deployed import entered, settled_once
from tests.tasks.drifting import report, shown

MILLISECONDS = 90_000
"""How long a condition may take on a busy machine."""


@pytest.fixture(scope="module")
def stocked(tmp_path_factory, empty_store):
    """Model ``squares`` of two versions, the second not promoted, with drift and a validation.

    Attributes:
        settled: The fixture of that name, which it began as.
        validation_run: A run that the real ``validate`` would have logged.
        look_run: A run of ``monitor``.
        token: Of a key that may promote.
    """
    from tasks.registry import mlflow_store

    def stock_once(folder):
        projects.copied(settled_once(tmp_path_factory, empty_store), folder)
        with entered(folder, tmp_path_factory) as settled:
            (folder / "told.json").write_text(json.dumps(stock(settled)))

    made = projects.once(tmp_path_factory, "stocked", stock_once)
    folder = projects.copied(made, tmp_path_factory.mktemp("stocked"))
    told = json.loads((folder / "told.json").read_text())
    with entered(folder, tmp_path_factory) as settled:
        yield SimpleNamespace(settled=settled, client=mlflow_store.client(), **told)


def stock(settled):
    """Put into a repository what ``stocked`` has; what a test has to know of it."""
    import mlflow

    from tasks.records import Decision
    from tasks.registry import history, lineage_record, mlflow_store, model_versions
    from tasks.serving.api_keys import Keys
    from tasks.serving.monitoring.report_drift import log_drift

    settled.deploy(seed=1, promoted=False)
    client = mlflow_store.client()
    refused = Decision(
        action="refuse",
        name="squares",
        version=2,
        champion=1,
        former=1,
        why="<b>It is worse</b> by 0.02.",
        metric="frame_auc",
        who="Ada <ada@example.org>",
        when=history.now(),
        figures={"difference": -0.02, "margin": 0.01},
    )
    history.record(refused, client)
    look_run = log_drift.fn(report(verdict="no drift", recent=shown(100, distance=1.0)))
    look_run = log_drift.fn(report())
    expectations = [outcome("enough images", success=True), outcome("no constant image")]
    tags = lineage_record.data_tags(settled.clips)
    with mlflow_store.run("validate", "squares", tags=tags, params={}) as active:
        mlflow.log_dict(
            {"success": False, "statistics": {"num_files": 32.0}, "expectations": expectations},
            "validation/result.json",
        )
        mlflow.log_text("<h1>Data Docs</h1>", "validation/data_docs/index.html")
        mlflow.log_metrics({"num_failed": 1, "num_critical": 0})
    keys = Keys()
    assert model_versions.aliases(client, "squares")["champion"] == 1
    return {
        "validation_run": active.info.run_id,
        "look_run": look_run,
        "token": keys.add("Grace", ["promote"]),
    }


def outcome(name, *, success=False):
    """What came of one expectation, as ``validate`` logs it."""
    return {
        "name": name,
        "description": f"There must be {name}",
        "severity": "warning",
        "success": success,
        "observed": None,
        "files": [] if success else ["train/good/01/000.png (contrast 0.0)"],
        "num_files": 0 if success else 1,
    }


@pytest.fixture(scope="module")
def page(stocked):
    """A client of the console."""
    from tasks.console.app import build_console

    with TestClient(build_console()) as client:
        yield client


def authorized(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def address(chromium, stocked):
    """Where the console answers, in a thread of this process."""
    from tasks.console.app import build_console
    from tasks.serving.pages import LOCAL_NAMES

    with running(build_console(hosts=LOCAL_NAMES)) as found:
        yield found


@pytest.fixture(scope="module")
def window(chromium, address):
    """One page for all tests; nothing may be asked of another host, and no script may fail."""
    context = chromium.new_context(viewport={"width": 1200, "height": 800}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(MILLISECONDS)
    asked, complaints = [], []
    context.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda text: complaints.append(text.text) if text.type == "error" else None)
    yield page
    hosts = {urlsplit(url).hostname for url in asked if not url.startswith(("blob:", "data:"))}
    assert hosts == {"127.0.0.1"}
    refused = re.compile(r"status of (401|404|409|422)")  # the browser tells of those, too
    assert [each for each in complaints if not refused.search(each)] == []
    context.close()


@pytest.fixture
def visit(window, address):
    """Function that opens a page of the console anew, without a key, and returns the browser's."""

    def open_page(path):
        window.goto(f"{address}/#{path}")
        window.reload()
        return window

    return open_page
