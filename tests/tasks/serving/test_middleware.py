import asyncio

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from models.errors import InvalidInputError, RegistryError
from tasks.serving import middleware
from tasks.serving.admission import BusyError
from tasks.serving.middleware import Guard, answer
from tasks.serving.uploads import Limits


@pytest.fixture
def client(monkeypatch):
    monkeypatch.setattr(middleware, "LINGER_SECONDS", 0.2)
    app = FastAPI()
    app.add_middleware(Guard, limits=Limits(body_bytes=1000, body_seconds=0.5))
    app.add_exception_handler(HTTPException, answer)
    app.add_exception_handler(RequestValidationError, answer)

    @app.post("/length")
    async def length(request: Request, times: int = 1) -> int:
        return len(await request.body()) * times

    @app.get("/raise/{kind}")
    async def fail(kind: str) -> None:
        raise {
            "input": InvalidInputError("Frames must be frames."),
            "busy": BusyError("All places are taken."),
            "registry": RegistryError("/secret/path is broken"),
            "bug": ZeroDivisionError("secret"),
        }[kind]

    def call(method, path, **options):
        async def request():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as session:
                return await session.request(method, path, **options)

        return asyncio.run(request())

    return call


class Endless:
    """A body that goes on for ever, and remembers how much of it was taken."""

    def __init__(self, pause=0.0):
        self.pause, self.taken = pause, 0

    async def __aiter__(self):
        while True:
            await asyncio.sleep(self.pause)
            self.taken += 100
            yield bytes(100)


def test_a_body_within_the_limit_arrives_whole(client):
    response = client("POST", "/length?times=2", content=bytes(1000))
    assert (response.status_code, response.json()) == (200, 2000)
    assert "connection" not in response.headers


def test_a_body_that_admits_to_being_too_long_is_refused(client):
    response = client("POST", "/length", content=bytes(1001))
    assert response.status_code == 413
    assert response.json()["error"].startswith("A request may have 1000 bytes, got 1001.")
    assert response.headers["connection"] == "close"


def test_a_body_that_hides_its_length_is_refused_while_it_arrives(client):
    body = Endless(pause=0.01)
    response = client("POST", "/length", content=body)
    assert response.status_code == 413
    assert 1000 < body.taken < 10_000


def test_a_body_that_lies_about_its_length_is_refused_while_it_arrives(client):
    headers = {"content-length": "10"}
    response = client("POST", "/length", content=Endless(pause=0.01), headers=headers)
    assert response.status_code == 413


def test_a_body_that_takes_too_long_is_refused(client):
    response = client("POST", "/length", content=Endless(pause=0.3))
    assert response.status_code == 408
    assert "within 0.5 s" in response.json()["error"]


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/raise/input", 422, "Frames must be frames."),
        ("/raise/busy", 503, "All places are taken."),
        ("/raise/registry", 500, "The server failed. Its log has more, under this request id."),
        ("/raise/bug", 500, "The server failed. Its log has more, under this request id."),
        ("/nowhere", 404, "Not Found"),
        ("/length", 405, "Method Not Allowed"),
    ],
)
def test_every_error_is_one_sentence_and_the_request_id(client, path, status, sentence):
    response = client("GET", path)
    assert response.status_code == status
    assert response.json() == {"error": sentence, "request_id": response.headers["x-request-id"]}
    assert response.headers.get("retry-after") == ("1" if status == 503 else None)


def test_a_wrong_option_is_named(client):
    response = client("POST", "/length?times=often", content=b"")
    assert response.status_code == 422
    assert "query.times" in response.json()["error"]


def test_the_log_has_what_the_client_is_not_told(client, caplog):
    response = client("GET", "/raise/bug")
    assert response.json()["request_id"] in caplog.text
    assert "ZeroDivisionError: secret" in caplog.text


def test_a_correlation_id_comes_back_and_the_request_id_is_ours(client):
    sent = {"x-correlation-id": "trace-7.a", "x-request-id": "mine"}
    given = client("POST", "/length", content=b"", headers=sent)
    assert given.headers["x-correlation-id"] == "trace-7.a"
    assert len(given.headers["x-request-id"]) == 32
    for strange in ("a b", "x" * 65, "{}"):
        made = client("POST", "/length", content=b"", headers={"x-correlation-id": strange})
        assert "x-correlation-id" not in made.headers
    ids = {client("GET", "/nowhere").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
