"""The server under load, change and attack: one real server for all of it."""

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import fuzz
from benchmarks._malformed import cases
from tasks.registry import mlflow_store, model_versions
from tasks.serving.api_keys import PREDICT, PROMOTE, Keys
from tasks.serving.monitoring import prediction_log
from tasks.serving.serve import build_app
from tasks.serving.uploads import Limits
from tests.app_server import running
from tests.tasks.deployed import damaged, package_of
from tests.tasks.serving.test_serve import FRAMES, clip, encode, parts, wait_for

NUM_CASES = 300


@pytest.fixture(scope="module")
def two_versions(settled):
    settled.deploy(seed=1, promoted=False)
    return {
        number: model_versions.load(
            model_versions.resolve(mlflow_store.client(), "squares", number)
        )
        for number in (1, 2)
    }


@pytest.fixture(scope="module")
def address(two_versions):
    limits = Limits(body_bytes=2**20, num_files=20, frame_pixels=2**20, waiting=64)
    with running(build_app("squares", limits=limits, poll_seconds=0.05)) as found:
        wait_for(lambda: get(f"{found}/health").is_success or None)
        yield found


@pytest.fixture
def url(address):
    promote(1)
    wait_for(lambda: get(f"{address}/health").json()["version"] == 1 or None)
    yield address
    promote(1)


def get(url):
    return httpx.get(url, timeout=120)


def promote(version):
    mlflow_store.client().set_registered_model_alias("squares", "champion", str(version))


def same(answer, model, frames):
    """Whether an answer holds the scores that the model itself gives these frames."""
    expected = model.predict(frames)
    found = [each["image_score"] for each in answer["frames"]]
    return np.allclose(found, expected.image_score) and np.allclose(
        [each["p_value"] for each in answer["frames"]], expected.p_value
    )


def test_requests_that_share_batches_get_what_they_would_get_alone(url, two_versions):
    random = np.random.default_rng(0)
    shapes = [(num, 16, side) for num in (6, 7, 9, 14) for side in (24, 30)] * 4
    clips = [random.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    with httpx.Client(base_url=url, timeout=120) as session, ThreadPoolExecutor(16) as pool:

        def ask(frames):
            return session.post("/predict", files=parts(*(encode(frame) for frame in frames)))

        answers = list(pool.map(ask, clips))
    for answer, frames in zip(answers, clips, strict=True):
        assert answer.status_code == 200, answer.text
        assert same(answer.json(), two_versions[1], frames)


def test_the_champion_changes_under_load_and_no_request_fails(url, two_versions):
    over, answers = threading.Event(), []
    files = clip()

    def load():
        with httpx.Client(base_url=url, timeout=120) as session:
            while not over.is_set():
                answers.append(session.post("/predict", files=files))

    with ThreadPoolExecutor(4) as pool:
        senders = [pool.submit(load) for _ in range(4)]
        try:
            for version in (2, 1, 2):
                before = len(answers)
                promote(version)
                wait_for(lambda: get(f"{url}/health").json()["version"] == version or None)  # noqa: B023
                wait_for(lambda: len(answers) > before + 8 or None)  # noqa: B023
        finally:
            over.set()
    for sender in senders:
        sender.result()
    assert {answer.status_code for answer in answers} == {200}
    found = [answer.json() for answer in answers]
    assert {answer["version"] for answer in found} == {1, 2}
    assert all(same(answer, two_versions[answer["version"]], FRAMES) for answer in found)


def test_a_version_whose_bytes_were_changed_is_refused_and_the_former_one_goes_on(url):
    weights = package_of("squares", 2) / "weights.safetensors"
    with damaged(weights):
        promote(2)
        found = wait_for(lambda: problem_of(url))
        assert "exactly the bytes" in found["problem"]
        assert (found["status"], found["version"]) == ("degraded", 1)
        answer = httpx.post(f"{url}/predict", files=clip(), timeout=120)
        assert (answer.status_code, answer.json()["version"]) == (200, 1)
        assert "unseen_healthy 0.0" in get(f"{url}/metrics").text
        promote(1)
        wait_for(lambda: problem_of(url) is None or None)


def problem_of(url):
    found = get(f"{url}/health").json()
    return found if found["problem"] else None


def test_metrics_tell_of_requests_batches_scores_and_the_version(url):
    with httpx.Client(base_url=url, timeout=120) as session:
        session.post("/predict", files=clip())
        session.get("/nowhere/at/all")
        text = session.get("/metrics").text
    found = {
        (sample.name, sample.labels.get("path"), sample.labels.get("status")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["unseen_requests_total", "/predict", "200"] >= 1
    assert found["unseen_requests_total", "other", "404"] >= 1
    assert found["unseen_batch_inputs_count", None, None] >= 1
    assert found["unseen_requests_under_way", None, None] == 0
    assert found["unseen_frames_total", None, None] >= 3
    assert found["unseen_unlogged_predictions_total", None, None] == 0
    assert ("unseen_p_value_bucket", None, None) in found
    assert "unseen_served_info{" in text
    assert 'version="1"' in text


def test_keys_decide_who_may_predict_and_a_prediction_is_kept_under_their_name(url, caplog):
    token = Keys().add("gate", [PREDICT])
    other = Keys().add("operator", [PROMOTE])
    try:
        with httpx.Client(base_url=url, timeout=120) as session, caplog.at_level("INFO"):
            assert session.post("/predict", files=clip()).status_code == 401
            assert session.get("/metrics").status_code == 401
            assert session.get("/health").status_code == 200
            held = {"Authorization": f"Bearer {other}"}
            assert session.post("/predict", files=clip(), headers=held).status_code == 403
            assert session.get("/drift", headers=held).status_code == 200
            held = {"X-API-Key": token, "X-Correlation-ID": "the-one"}
            answer = session.post("/predict", files=clip(), headers=held).json()
    finally:
        Keys().remove("gate")
        Keys().remove("operator")
    (kept,) = wait_for(lambda: logged(answer["request_id"]))
    assert (kept.client, kept.model, kept.version) == ("gate", "squares", answer["version"])
    assert kept.image_score == tuple(each["image_score"] for each in answer["frames"])
    assert kept.anomalous == tuple(e["frame"] for e in answer["frames"] if e["anomalous"])
    assert len(kept.files) == len(FRAMES)
    lines = [each.facts for each in caplog.records if getattr(each, "facts", None)]
    (line,) = [each for each in lines if each["correlation_id"] == "the-one"]
    assert line["request_id"] == answer["request_id"]
    assert (line["status"], line["key"], line["path"]) == (200, "gate", "/predict")
    assert line["data_digest"] == answer["data"]["digest"]
    assert line["seconds"] > 0
    assert token not in json.dumps(lines)


def logged(request_id):
    with contextlib.suppress(LookupError):
        return prediction_log.find(request_id)
    return None


def test_nothing_malformed_crashes_the_server_or_is_its_fault(url, address):
    honest = tuple(encode(frame) for frame in FRAMES)
    server = ("127.0.0.1", urlsplit(address).port)
    counts, wrong = fuzz.campaign(server, cases(NUM_CASES, 7, honest), threads=8)
    assert [(each.case.number, each.complaint, each.body[:200]) for each in wrong] == []
    assert counts["honest 200"] == NUM_CASES / 20
    assert {int(name.split()[1]) for name in counts} >= {200, 400, 404, 413, 415, 422}
    assert get(f"{url}/health").status_code == 200
