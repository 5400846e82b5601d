"""From frames that a server answered to a verdict, a run in MLflow and an event in Prefect."""

import json
import time

import pytest
from fastapi.testclient import TestClient

from flows.monitor import monitor
from tasks.platform import prefect_server
from tasks.registry import mlflow_store
from tasks.serving.serve import build_app
from tests.flows.cli.test_main import command_line
from tests.tasks.serving.monitoring.test_recorder import noisier, stripes
from tests.tasks.serving.test_serve import encode, parts, wait_for
from tests.tasks.two_cameras import register_first


@pytest.fixture(scope="module")
def champion(workplace):
    register_first(workplace / "camera")
    mlflow_store.client().set_registered_model_alias("first", "champion", "1")


def show(images):
    """Have a server of its own score images, and stop it."""
    with TestClient(build_app("first", poll_seconds=0.05)) as session:
        wait_for(lambda: session.get("/health").status_code == 200 or None)
        files = parts(*(encode(image) for image in images))
        assert session.post("/predict", files=files).status_code == 200


def events(url):
    """Events of drift that the Prefect server knows."""
    wanted = {"event": {"name": ["unseen.drift.detected"]}}
    found = prefect_server.call(
        url, "POST", "/events/filter", content={"filter": wanted}, seconds=60
    )
    return found["events"]


def test_the_story_from_normal_frames_to_drift(champion, workplace, orchestrated, tmp_path):
    silent = monitor("first")
    assert (silent.verdict, silent.frames, silent.run_id) == ("not enough yet", 0, "")

    show(stripes(40, 7))
    calm = monitor("first")
    assert (calm.verdict, calm.frames, calm.event_id) == ("no drift", 40, ""), calm.why
    run = mlflow_store.client().get_run(calm.run_id)
    assert run.data.tags["unseen.drift"] == "no drift"
    assert run.data.tags["unseen.flow_run_id"]
    assert run.data.metrics["drift.frechet"] < run.data.metrics["drift.frechet_limit"]

    for seed in (8, 9):
        show(noisier(stripes(40, seed)))
    process = command_line(workplace, orchestrated[1], tmp_path, "monitor", "first")
    output, log = process.communicate(timeout=400)
    assert process.returncode == 4, log
    assert "first version 1: drift" in output
    tags = mlflow_store.client().get_model_version("first", "1").tags
    told = json.loads(tags["unseen.drift"])
    assert told["verdict"] == "drift"
    deadline = time.monotonic() + 120
    while not (found := events(orchestrated[1])):  # the command has ended: nothing is under way
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert found[0]["resource"]["prefect.resource.id"] == "unseen.model.first"
    assert found[0]["payload"]["run_id"] == told["run_id"]
    assert "flow-run" in [each["prefect.resource.role"] for each in found[0]["related"]]
