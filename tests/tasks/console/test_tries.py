import pytest
from fastapi.testclient import TestClient

from tasks.console.app import build_console
from tasks.console.tries import MOST_UNDER_WAY
from tests.tasks.console.test_serving import server


@pytest.fixture(scope="module")
def page(shared_repository):
    with TestClient(build_console()) as client:
        yield client


def test_a_serving_process_that_is_gone_is_named(page):
    with server(200) as (url, _):
        pass
    other = TestClient(build_console(serving={"squares": url}))
    answer = other.post("/api/detectors/squares/predict", files={"files": b"x"})
    assert answer.status_code == 502
    assert url in answer.json()["error"]


def test_more_than_a_few_at_a_time_are_refused(page):
    tries = page.app.state.tries
    tries._under_way = MOST_UNDER_WAY
    answer = page.post("/api/detectors/squares/predict?version=1", files={"files": b"x"})
    tries._under_way = 0
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "has them" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "parts", "status", "sentence"),
    [
        ("squares/predict?version=1", {"json": {}}, 415, "multipart/form-data"),
        ("squares/predict?version=1", {"data": {"files": "x"}, "files": {"a": b"x"}}, 422, "files"),
        ("squares/predict?version=1", {"files": {"files": b"x"}}, 404, "no registered model"),
        ("squares/predict?version=0", {"files": {"files": b"x"}}, 422, "greater than or equal"),
        ("squares/predict", {"files": {"files": b"x"}}, 404, "no registered model"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_a_sentence(page, path, parts, status, sentence):
    answer = page.post(f"/api/detectors/{path}", **parts)
    assert answer.status_code == status, answer.text
    assert sentence in answer.json()["error"]
