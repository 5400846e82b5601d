import base64
import json
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import asdict
from io import BytesIO

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tasks.lineage.trace import trace
from tasks.registry import mlflow_store, model_versions
from tasks.serving.api_keys import PREDICT, PROMOTE, Access, Keys
from tasks.serving.serve import build_app
from tasks.serving.uploads import Limits

FRAMES = np.random.default_rng(7).integers(0, 256, (8, 16, 24), dtype=np.uint8)


def encode(pixels, kind="PNG"):
    file = BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def parts(*contents):
    return [("files", (f"{place}.png", content)) for place, content in enumerate(contents)]


def clip(frames=FRAMES):
    return parts(*(encode(frame) for frame in frames))


def wait_for(answer, seconds=180):
    """The first response that ``answer`` gives, which is None as long as it has none."""
    deadline = time.monotonic() + seconds
    while (found := answer()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def client(settled):
    app = build_app("squares", limits=Limits(body_bytes=2**20, num_files=20), poll_seconds=0.05)
    with TestClient(app) as session:
        wait_for(lambda: session.get("/health").status_code == 200 or None)
        yield session


@pytest.fixture(scope="module")
def packaged(settled):
    return model_versions.load(model_versions.resolve(mlflow_store.client(), "squares", "champion"))


@pytest.mark.parametrize("query", ["", "?anomaly_map=false"])
def test_to_predict_a_key_is_needed_as_soon_as_there_is_one(client, tmp_path, query):
    address = f"/predict{query}"
    before, keys = client.app.state.access, Keys(tmp_path / "keys.json")
    client.app.state.access = Access(keys, local=True)
    try:
        assert client.post(address, files=clip()).status_code == 200
        token, other = keys.add("camera", [PREDICT]), keys.add("operator", [PROMOTE])
        assert client.post(address, files=clip()).status_code == 401
        for known, status in ((token, 200), (other, 403), ("wrong", 401)):
            headers = {"Authorization": f"Bearer {known}"}
            assert client.post(address, files=clip(), headers=headers).status_code == status
    finally:
        client.app.state.access = before


@pytest.mark.parametrize("flag", ["", "perhaps"])
def test_a_parameter_that_is_none_is_refused(client, flag):
    answer = client.post("/predict", params={"anomaly_map": flag}, files=clip())
    assert answer.status_code == 422
    assert "anomaly_map" in answer.json()["error"]


def test_a_clip_gets_the_scores_of_the_model_itself(client, packaged):
    response = client.post("/predict", files=clip())
    assert response.status_code == 200
    found, expected = response.json(), packaged.predict(FRAMES)
    assert [each["frame"] for each in found["frames"]] == [5, 6, 7]
    for key in ("image_score", "p_value", "q_value", "anomalous"):
        assert [each[key] for each in found["frames"]] == getattr(expected, key).tolist()
    assert found["clip_p_value"] == expected.clip_p_value
    assert found["calibration_clips"] == packaged.calibration.num_clips
    assert {each["threshold"] for each in found["frames"]} == {packaged.threshold}
    assert {each["anomaly_map"] for each in found["frames"]} == {None}
    assert (found["model"], found["version"]) == ("squares", 1)
    assert found["run_id"] == packaged.lineage["run_id"]
    assert found["data"] == {
        "name": "squares",
        "digest": packaged.lineage["data"]["digest"],
    }
    assert found["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("ask", [{"params": {"anomaly_map": "true"}}, {"data": {"anomaly_map": 1}}])
def test_anomaly_maps_come_on_request_with_their_scale(client, packaged, ask):
    found = client.post("/predict", files=clip(), **ask).json()["frames"]
    expected = packaged.predict(FRAMES, anomaly_map=True).anomaly_map
    for each, scores in zip(found, expected, strict=True):
        drawn = each["anomaly_map"]
        values = np.asarray(Image.open(BytesIO(base64.b64decode(drawn["png"]))))
        assert values.dtype == np.uint8
        step = (drawn["high"] - drawn["low"]) / 255
        assert np.allclose(drawn["low"] + values * step, scores, atol=0.51 * step)
        assert drawn["threshold"] == packaged.pixel_threshold


def test_the_user_sets_the_false_alarm_rate(settled, packaged):
    app = build_app("squares", poll_seconds=0.05, false_alarm_rate=0.5)
    with TestClient(app) as session:
        wait_for(lambda: session.get("/health").status_code == 200 or None)
        found = session.post("/predict", files=clip()).json()["frames"]
        calm = session.post("/predict", files=clip(FRAMES // 5)).json()["frames"]
    for each in (*found, *calm):
        assert each["anomalous"] == (each["p_value"] <= 0.5)
        assert each["threshold"] == packaged.calibration.threshold(0.5)
    assert all(each["anomalous"] for each in found)


def test_a_rate_that_the_calibration_cannot_vouch_for_is_not_served(settled, packaged):
    app = build_app("squares", poll_seconds=0.05, false_alarm_rate=0.001)
    with TestClient(app) as session:
        wait_for(lambda: "needs 999 calibration clips" in session.get("/health").text or None)
        assert session.get("/health").status_code == 503
        assert session.post("/predict", files=clip()).status_code == 503


def test_regions_hold_exactly_the_anomalous_pixels(client, packaged):
    found = client.post("/predict?anomaly_map=true", files=clip()).json()["frames"]
    maps = packaged.predict(FRAMES, anomaly_map=True).anomaly_map
    for each, scores in zip(found, maps, strict=True):
        reached = scores >= packaged.pixel_threshold
        assert reached.any()
        covered = np.zeros_like(reached)
        for region in each["regions"]:
            box = np.s_[
                region["top"] : region["top"] + region["height"],
                region["left"] : region["left"] + region["width"],
            ]
            covered[box] = True
            assert scores[box].max() >= region["score"] >= packaged.pixel_threshold
        assert covered[reached].all()
        peaks = [region["score"] for region in each["regions"]]
        assert peaks == sorted(peaks, reverse=True)
        assert peaks[0] == scores.max()


def bomb():
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(10**6))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


@pytest.mark.parametrize(
    ("request_parts", "status", "sentence"),
    [
        ({"files": parts(b"%PDF-1.7 no image")}, 415, "must be an image"),
        ({"files": parts(b"")}, 422, "is empty"),
        ({"files": parts(encode(FRAMES[0])[:60])}, 422, "File 1 must be a whole image"),
        ({"files": parts(bomb())}, 413, "File 1 must have fewer pixels"),
        ({"files": clip(FRAMES[:5])}, 422, "at least 6 frames, got 5"),
        ({"files": [*clip(), *clip(FRAMES[:, :8])]}, 422, "one size, got 24 x 16, 24 x 8"),
        ({"files": parts(*[encode(FRAMES[0, :2, :2])] * 6)}, 422, "2 x 2 pixels are too small"),
        ({"files": clip(FRAMES.repeat(3, axis=0))}, 400, "Too many files"),
        ({"files": [("image", ("a.png", encode(FRAMES[0])))]}, 422, "got the fields: image"),
        ({"data": {"files": "text"}}, 415, "multipart/form-data with a field 'files'"),
        ({"files": {"files": (None, "text")}}, 422, "each with a file name"),
        (
            {"files": clip(), "data": {"anomaly_map": "perhaps"}},
            422,
            "true or false, got 'perhaps'",
        ),
        ({"files": clip(), "params": {"anomaly_map": "perhaps"}}, 422, "query.anomaly_map"),
        ({"json": {"files": []}}, 415, "got 'application/json'"),
        ({}, 415, "got 'no content type'"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "boundary"),
        (
            {"content": b"xyz", "headers": {"content-type": "multipart/form-data; boundary=a"}},
            400,
            "",
        ),
        ({"files": parts(bytes(2**20))}, 413, "may have 1048576 bytes"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_a_reason(client, request_parts, status, sentence):
    response = client.post("/predict", **request_parts)
    assert response.status_code == status, response.text
    assert sentence in response.json()["error"]
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    assert client.post("/predict", files=clip()).status_code == 200


def test_health_names_what_serves(client, packaged):
    found = client.get("/health").json()
    assert found["status"] == "ok"
    assert (found["model"], found["version"], found["problem"]) == ("squares", 1, None)
    assert found["model_digest"] == packaged.digest
    assert found["data_digest"] == packaged.lineage["data"]["digest"]


def test_lineage_is_the_trace_of_what_serves(client):
    expected = json.loads(json.dumps(asdict(trace("squares@1"))))
    assert client.get("/lineage").json() == expected


def test_lineage_is_remembered_while_the_registry_is_away(client, monkeypatch):
    expected = client.get("/lineage").json()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert client.get("/lineage").json() == expected


def test_the_interface_is_described(client):
    schema = client.get("/openapi.json").json()
    body = schema["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert body["multipart/form-data"]["schema"]["required"] == ["files"]
    assert "image_score" in schema["components"]["schemas"]["ScoredFrame"]["properties"]
    assert client.get("/docs").status_code == 200


def test_no_thread_of_numpy_spins_beside_the_one_that_answers():
    program = (
        "from tasks.serving.serve import share_cores; share_cores(); import scipy.linalg, json, "
        "threadpoolctl; print(json.dumps(threadpoolctl.threadpool_info()))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    pools = [pool for pool in json.loads(told.stdout) if pool["user_api"] == "blas"]
    assert pools
    assert {pool["num_threads"] for pool in pools} == {1}
