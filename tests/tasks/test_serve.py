import base64
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import cv2
import httpx
import numpy as np
import psutil
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from models.errors import InvalidInputError, NotFoundError
from tasks import registry, tracking
from tasks.serve import build_app, serve
from tasks.trace import trace
from tasks.uploads import Limits
from tests.tasks.deployed import make_champion

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
    return registry.load(registry.resolve(tracking.client(), "squares", "champion"))


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


def test_a_video_is_scored_as_a_clip(client, tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (24, 16))
    for frame in FRAMES:
        writer.write(np.repeat(frame[..., None], 3, axis=2))
    writer.release()
    response = client.post("/predict", files={"files": path.read_bytes()})
    assert [each["frame"] for each in response.json()["frames"]] == [5, 6, 7]


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
        ({"files": parts(b"%PDF-1.7 no image")}, 415, "must be a PNG or JPEG image"),
        ({"files": parts(b"")}, 422, "is empty"),
        ({"files": parts(encode(FRAMES[0])[:60])}, 422, "truncated or damaged"),
        ({"files": parts(bomb())}, 413, "File 1 has too many pixels"),
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


def test_a_model_that_does_not_exist_is_not_served(settled):
    with pytest.raises(NotFoundError, match=r"no registered model 'circles'\. Registered: squares"):
        serve("circles")


def test_a_model_without_a_champion_is_not_served(deploy_detector):
    deploy_detector(promoted=False)
    with pytest.raises(NotFoundError, match=r"'champion'\. Versions: 1\. Aliases: challenger -> 1"):
        serve("squares")


def test_an_address_that_is_taken_is_refused(settled):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInputError, match=f"listen on 127.0.0.1 port {port}"):
            serve("squares", port=port)
    with pytest.raises(InvalidInputError, match="port 70000"):
        serve("squares", port=70000)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextlib.contextmanager
def started(*command, log):
    """A server in a session of its own, of which nothing is left afterwards."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    family = []
    try:
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            family = [parent, *parent.children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()


def answers(process, url, log):
    """Whether a server answers; its log fails the test if it died."""
    assert process.poll() is None, log.read_text()
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url).status_code == 200 or None
    return None


HEAD = b'--a\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'


def huge():
    """The body of a request that is much longer than allowed."""
    yield HEAD
    for _ in range(300):
        yield bytes(2**20)


def test_a_running_server_follows_the_champion_and_survives_a_huge_upload(
    deploy_detector, tmp_path
):
    deploy_detector(seed=0)
    port, log = free_port(), tmp_path / "log"
    url = f"http://127.0.0.1:{port}"
    code = f"from tasks.serve import serve; serve('squares', port={port}, poll_seconds=0.1)"
    with started("-c", code, log=log) as process:
        wait_for(lambda: answers(process, f"{url}/health", log), 120)
        before = httpx.post(f"{url}/predict", files=clip()).json()
        memory = psutil.Process(process.pid).memory_info().rss

        for length in ({}, {"content-length": str(len(HEAD) + 300 * 2**20)}):
            headers = {"content-type": "multipart/form-data; boundary=a", **length}
            refused = httpx.post(f"{url}/predict", content=huge(), headers=headers, timeout=180)
            assert refused.status_code == 413, refused.text
            assert "67108864 bytes" in refused.json()["error"]
        assert psutil.Process(process.pid).memory_info().rss - memory < 100 * 2**20

        make_champion(deploy_detector(seed=1, promoted=False))
        wait_for(lambda: httpx.get(f"{url}/health").json()["version"] == 2 or None)
        after = httpx.post(f"{url}/predict", files=clip()).json()
        process.terminate()
        assert process.wait(30) in (0, -signal.SIGTERM), log.read_text()
    assert "squares version 2 serves from now on" in log.read_text()
    assert (before["version"], after["version"]) == (1, 2)
    assert before["frames"][0]["threshold"] != after["frames"][0]["threshold"]
    scores = [[frame["image_score"] for frame in each["frames"]] for each in (before, after)]
    assert scores[0] == scores[1]
