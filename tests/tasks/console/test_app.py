"""The whole of the console against a real registry; see test_browser for the page itself."""

import json
import socket
import threading
from dataclasses import asdict

import httpx
import pytest

from models.errors import InvalidInputError
from tasks.console.app import build_console, console
from tasks.lineage.trace import trace
from tasks.registry import history, model_versions
from tasks.serving.serve import build_app
from tests.app_server import running
from tests.tasks.console.conftest import authorized
from tests.tasks.serving.test_serve import FRAMES, clip, wait_for


def test_detectors_have_versions_scores_and_decisions(page):
    (found,) = page.get("/api/detectors").json()
    assert found == page.get("/api/detectors/squares").json()
    assert (found["champion"], found["challenger"], found["metric"]) == (1, 2, "frame_auc")
    assert [each["metrics"]["frame_auc"] for each in found["versions"]] == [0.875, 0.875]
    assert found["versions"][0]["drift"]["verdict"] == "drift"
    assert [each["action"] for each in found["decisions"]] == ["promote", "refuse"]


def test_lineage_and_trace_are_those_of_the_command_line(page):
    expected = json.loads(json.dumps(asdict(trace("squares@2"))))
    assert page.get("/api/detectors/squares/trace?version=2").json() == expected
    found = page.get("/api/detectors/squares/lineage?version=2").json()
    names = {box["id"]: box["name"] for box in found["boxes"]}
    assert names["model"] == expected["model"]["digest"]
    assert names["data"] == expected["data"]["version"]["digest"]
    assert "serving" not in names
    assert page.get("/api/detectors/squares/lineage").json()["version"] == 1


def test_validations_and_their_data_docs_can_be_read_and_run_nothing(page, stocked):
    path = f"/api/validations/{stocked.validation_run}"
    found = page.get(path).json()
    assert [each["success"] for each in found["expectations"]] == [True, False]
    assert found["data"]["digest"] == stocked.settled.clips.digest
    docs = page.get(f"{path}/docs")
    assert docs.text == "<h1>Data Docs</h1>"
    assert docs.headers["content-security-policy"].startswith("sandbox;")
    for outside in ("%2e%2e/result.json", "..%2f..%2fresult.json", "%2fetc%2fpasswd"):
        assert page.get(f"{path}/docs/{outside}").status_code == 404


def test_drift_is_told_look_by_look(page):
    found = page.get("/api/detectors/squares/drift").json()
    assert [each["verdict"] for each in found["looks"]] == ["no drift", "drift"]
    assert [each["figures"]["frechet"] for each in found["looks"]] == [1.0, 3.0]
    assert found["now"] is None


def test_images_are_scored_alike_here_and_by_the_serving_process(page, stocked):
    path = "/api/detectors/squares/predict"
    here = page.post(path, files=clip())
    assert here.headers["x-answered-by"] == "console"
    other = page.post(f"{path}?version=2", files=clip()).json()
    assert other["version"] == 2
    assert other["frames"][0]["threshold"] != here.json()["frames"][0]["threshold"]
    small = page.post(path, files=clip(FRAMES[:, :2, :2]))
    assert small.status_code == 422
    assert "squares version 1 cannot score frames of 2 x 2 pixels" in small.json()["error"]
    with running(build_app("squares")) as url:
        wait_for(lambda: httpx.get(f"{url}/health").status_code == 200 or None)
        with running(build_console(serving={"squares": url})) as address:
            there = httpx.post(f"{address}{path}", files=clip())
            health = httpx.get(f"{address}/api/detectors/squares/serving").json()
            drift = httpx.get(f"{address}/api/detectors/squares/drift").json()
            refused = httpx.post(f"{address}{path}", files=clip()[:2])
        begun = httpx.get(url)
        docs = httpx.get(f"{url}/docs").text
    assert there.headers["x-answered-by"] == url
    assert there.json()["frames"] == here.json()["frames"]
    assert there.json()["frames"][0]["anomaly_map"]["png"]
    assert (health["state"], health["version"]) == ("ok", 1)
    assert drift["now"]["recent"]["frames"] == 3
    assert refused.status_code == 422
    assert "at least 6 frames, got 2" in refused.json()["error"]
    assert begun.headers["location"] == "/docs"
    assert "//" not in docs.replace("<!doctype", "")


def test_of_two_operators_one_wins_and_the_other_is_told(page, stocked):
    wanted = {"version": 2, "expected": 1, "why": "It finds carts."}
    path, key = "/api/detectors/squares", authorized(stocked.token)
    answers = []

    def decide():
        answers.append(page.post(f"{path}/promote", json=wanted, headers=key))

    both = [threading.Thread(target=decide) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    won, lost = sorted(answers, key=lambda each: each.status_code)
    assert (won.status_code, lost.status_code) == (200, 409)
    assert won.json()["who"] == "Grace (console)"
    assert "It finds carts." in lost.json()["error"]
    assert model_versions.aliases(stocked.client, "squares")["champion"] == 2

    undo = {"expected": 1, "why": "It misses carts."}
    late = page.post(f"{path}/rollback", json=undo, headers=key)
    assert late.status_code == 409
    done = page.post(f"{path}/rollback", json={**undo, "expected": 2}, headers=key)
    assert done.json()["champion"] == 1
    made = history.read("squares", stocked.client)[-1]
    assert (made.action, made.who, made.why) == ("rollback", "Grace (console)", "It misses carts.")
    none = page.post(f"{path}/rollback", json={**undo, "expected": 0}, headers=key)
    assert none.status_code == 409


def test_the_store_being_away_is_told(page, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    answer = page.get("/api/detectors")
    assert answer.status_code == 503
    assert "MLflow must answer at http://127.0.0.1:9" in answer.json()["error"]


def test_the_page_and_its_description_are_served(page):
    assert '<main id="content"' in page.get("/").text
    paths = page.get("/openapi.json").json()["paths"]
    assert {"/api/detectors", "/api/detectors/{name}/promote"} <= set(paths)


def test_an_address_that_others_reach_needs_keys_and_names(repository):
    with pytest.raises(InvalidInputError, match="other machines"):
        console("0.0.0.0")  # noqa: S104
    with pytest.raises(InvalidInputError, match="--host-name"):
        console("0.0.0.0", open_to_all=True)  # noqa: S104
    refusal = pytest.raises(InvalidInputError, match="must be able to listen")
    with socket.create_server(("127.0.0.1", 0)) as taken, refusal:
        console(port=taken.getsockname()[1])
