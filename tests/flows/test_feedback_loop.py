"""The whole loop, with real servers and a real browser: from a false alarm to a better champion."""

import time

import cv2
import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli.main import app as app_of_commands
from flows.retrain import retrain
from tasks.console.app import build_console
from tasks.lineage.trace import trace
from tasks.lineage.trace_file import trace_file
from tasks.registry import mlflow_store, version_facts
from tasks.serving.api_keys import Keys
from tasks.serving.kept_pictures import Keep
from tasks.serving.serve import build_app
from tasks.serving.trace_prediction import trace_prediction
from tests.app_server import running
from tests.flows.conftest import POOLED
from tests.flows.tiny import SIDE

NUM = 24


def upright(seed):
    """A normal picture of a kind that nobody has shown yet: its stripes stand."""
    random = np.random.default_rng(seed)
    columns = 128 + 50 * np.sin(np.arange(SIDE)[None, :] / 3 + random.uniform(0, 6))
    pixels = np.clip(columns + random.normal(0, 8, (SIDE, SIDE)), 0, 255).astype(np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def predict(url, content):
    answer = httpx.post(f"{url}/predict", files={"files": content}, timeout=60)
    return answer.raise_for_status().json()


def wait_for(holds, seconds=120):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def serves(url, version):
    answer = httpx.get(f"{url}/health")
    return answer.is_success and answer.json()["version"] == version


def judge_all(chromium, url, token):
    page = chromium.new_page()
    page.set_default_timeout(90_000)
    page.goto(f"{url}/#/detectors/pooled/inbox")
    page.get_by_text(f"{NUM} to judge").wait_for()
    page.keyboard.press("n")
    page.get_by_role("dialog").get_by_label("Key").fill(token)
    page.keyboard.press("Enter")
    for left in range(NUM - 1, 0, -1):
        page.get_by_text(f"{left} to judge, ").wait_for()
        page.keyboard.press("n")
    page.get_by_role("heading", name="Nothing to judge").wait_for()
    page.locator("#absorb").click()
    page.get_by_text(f"{NUM} absorbed into tiny").wait_for()
    page.close()


@pytest.mark.timeout(600)
def test_from_a_false_alarm_to_a_champion_that_raises_none(trained, chromium):
    token = Keys().add("Lise", ["label"])
    contents = [upright(seed) for seed in range(NUM)]
    app = build_app("pooled", poll_seconds=0.1, keep=Keep(policy="alarms"))
    with running(app) as server:
        wait_for(lambda: serves(server, 1))
        said = [predict(server, content) for content in contents]
        assert all(each["frames"][0]["anomalous"] for each in said)
        wait_for(lambda: len(list((trained / ".unseen/kept/pooled").glob("*/*"))) == NUM)
        with running(build_console()) as console:
            judge_all(chromium, console, token)

        decision = retrain(POOLED, keep_encoder=True)
        assert (decision.action, decision.champion) == ("promote", 2), decision.why
        assert "Test pictures old: " in decision.why
        assert "; new: " in decision.why
        version = mlflow_store.client().get_model_version("pooled", "2")
        statistics = version_facts.read_json(version, "lineage.json")["statistics"]
        assert statistics["parent"], statistics["why"]  # made from the difference alone
        assert all("judged-" in clip for clip in statistics["added"])

        wait_for(lambda: serves(server, 2))
        assert not any(predict(server, each)["frames"][0]["anomalous"] for each in contents)

    found = {each.prediction: each for each in trace("pooled").judged}
    assert found.keys() == {each["request_id"] for each in said}
    clicked = found[said[0]["request_id"]]
    assert (clicked.who, clicked.verdict, clicked.version) == ("Lise (console)", "normal", 1)
    assert trace_prediction(clicked.prediction).prediction.version == 1
    sightings = trace_file(trained / "data" / "tiny" / clicked.path)
    assert [(each.version, each.serves) for each in sightings.found] == [(2, True)]

    def unseen(*arguments):
        return CliRunner().invoke(app_of_commands, arguments, catch_exceptions=False).output

    assert "Nothing to absorb" in unseen("absorb", "pooled")
    shown = unseen("forget", "pooled", clicked.prediction)
    assert clicked.path in shown
    assert f"{NUM - 1} in its data" not in unseen("trace", "pooled")  # the champion has learned it
    assert f"{NUM} in its data" in unseen("trace", "pooled")
