import asyncio
import threading

import cv2
import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from tasks.serving.serve import build_app
from tasks.serving.uploads import Limits
from tests.tasks.serving.test_serve import FRAMES, clip, encode, wait_for


def test_before_a_detector_is_loaded_the_server_says_so(settled):
    waiting = TestClient(build_app("squares"))
    for response in (waiting.get("/health"), waiting.post("/predict", files=clip())):
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert "being loaded" in response.json()["error"]


def test_a_single_file_may_be_the_body_of_a_request(settled, tmp_path):
    video = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 10, (24, 16))
    for frame in FRAMES:
        writer.write(np.repeat(frame[..., None], 3, axis=2))
    writer.release()
    with TestClient(build_app("squares", log_predictions=False)) as session:
        wait_for(lambda: session.get("/health").is_success or None)
        form = session.post("/predict", files={"files": video.read_bytes()}).json()
        assert [each["frame"] for each in form["frames"]] == [5, 6, 7]
        headers = {"content-type": "video/avi; of=today"}
        body = session.post("/predict", content=video.read_bytes(), headers=headers).json()
        assert body == {**form, "request_id": body["request_id"]}, body
        untold = session.post("/predict", content=video.read_bytes()).json()
        assert untold == {**form, "request_id": untold["request_id"]}
        asked = {"params": {"anomaly_map": True}, "content": video.read_bytes(), "headers": headers}
        mapped = session.post("/predict", **asked).json()
        assert mapped["frames"][0]["anomaly_map"]["png"], mapped
        png = {"content": encode(FRAMES[0]), "headers": {"content-type": "image/png"}}
        refused = session.post("/predict", **png)
        assert (refused.status_code, "at least 6 frames" in refused.json()["error"]) == (422, True)
        empty = session.post("/predict", content=b"", headers=headers)
        assert (empty.status_code, "is empty" in empty.json()["error"]) == (422, True)


def test_only_what_is_quick_is_decoded_on_the_loop(settled, monkeypatch):
    app = build_app("squares", log_predictions=False)
    service, names = app.state.service, list[str]()
    decode = service._decode

    def told(*args):
        names.append(threading.current_thread().name.split("_")[0])
        return decode(*args)

    monkeypatch.setattr(service, "_decode", told)
    with TestClient(app) as session:
        wait_for(lambda: session.get("/health").is_success or None)
        small, large = encode(FRAMES[0]), encode(np.zeros((200, 200), np.uint8))
        for files in ([small], [large], [small] * 6):
            session.post("/predict", files=[("files", file) for file in files])
    assert names[0] != "worker"
    assert names[1:] == ["worker", "worker"]


def held_up(**limits):
    """An app whose detector scores nothing before the gate is opened."""
    app = build_app("squares", limits=Limits(**limits))
    service = app.state.service
    service.source.refresh()
    deployed, gate, entered = service.source.deployed, threading.Event(), threading.Event()
    forward = deployed.packaged.forward

    def slow(*args, **options):
        entered.set()
        gate.wait(60)
        return forward(*args, **options)

    deployed.packaged.forward = slow
    service.batcher.start()
    return app, gate, entered


def test_a_full_server_says_so_and_stays_healthy(settled):
    app, gate, entered = held_up(waiting=2, concurrent=1)

    async def story():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as session:
            accepted = [asyncio.create_task(session.post("/predict", files=clip())) for _ in "ab"]
            await asyncio.to_thread(entered.wait, 60)
            health = await session.get("/health")
            refused = await session.post("/predict", files=clip())
            gate.set()
            return health, refused, await asyncio.gather(*accepted)

    health, refused, accepted = asyncio.run(story())
    assert health.status_code == 200
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "takes 2 requests at a time" in refused.json()["error"]
    assert [each.status_code for each in accepted] == [200, 200]


@pytest.mark.parametrize(
    ("limits", "status", "sentence"),
    [
        ({"waiting_each": 1, "waiting": 2}, 429, "takes 1 requests of one client at a time"),
        ({"queued_bytes": 1}, 503, "wait to be scored"),
    ],
)
def test_who_asks_for_too_much_is_told_when_to_ask_again(settled, limits, status, sentence):
    app, gate, entered = held_up(**limits)

    async def story():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as session:
            first = asyncio.create_task(session.post("/predict", files=clip()))
            await asyncio.to_thread(entered.wait, 60)
            more = [asyncio.create_task(session.post("/predict", files=clip())) for _ in "ab"]
            done, _ = await asyncio.wait(more, return_when=asyncio.FIRST_COMPLETED)
            gate.set()
            await asyncio.gather(first, *more)
            return first.result(), done.pop().result()

    accepted, refused = asyncio.run(story())
    assert accepted.status_code == 200
    assert refused.status_code == status
    assert sentence in refused.json()["error"]
    assert int(refused.headers["retry-after"]) >= 1


def test_who_would_wait_for_too_long_is_told_so(settled):
    app, gate, _ = held_up(answer_seconds=0.5)
    client = TestClient(app)
    refused = client.post("/predict", files=clip())
    gate.set()
    assert refused.status_code == 503
    assert "must not take longer than 0.5 s" in refused.json()["error"]
    assert int(refused.headers["retry-after"]) >= 1
    assert app.state.service.admission.under_way == 0
