import asyncio
import threading

import httpx
from fastapi.testclient import TestClient

from tasks.serve import build_app
from tasks.uploads import Limits
from tests.tasks.test_serve import clip


def test_before_a_detector_is_loaded_the_server_says_so(settled):
    waiting = TestClient(build_app("squares"))
    for response in (waiting.get("/health"), waiting.post("/predict", files=clip())):
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert "being loaded" in response.json()["error"]


def test_a_full_server_says_so_and_stays_healthy(settled):
    app = build_app("squares", limits=Limits(waiting=2, concurrent=1))
    service = app.state.service
    service.champion.refresh()
    deployed, gate, entered = service.champion.deployed, threading.Event(), threading.Event()
    forward = deployed.packaged.forward

    def slow(*args, **options):
        entered.set()
        gate.wait(30)
        return forward(*args, **options)

    deployed.packaged.forward = slow
    service.batcher.start()

    async def story():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as session:
            accepted = [asyncio.create_task(session.post("/predict", files=clip())) for _ in "ab"]
            await asyncio.to_thread(entered.wait, 30)
            health = await session.get("/health")
            refused = await session.post("/predict", files=clip())
            gate.set()
            return health, refused, await asyncio.gather(*accepted)

    health, refused, accepted = asyncio.run(story())
    assert health.status_code == 200
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "takes 2 requests at a time" in refused.json()["error"]
    assert [each.status_code for each in accepted] == [200, 200]
