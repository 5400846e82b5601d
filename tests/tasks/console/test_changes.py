import pytest
from fastapi.testclient import TestClient

from tasks.console.app import build_console
from tasks.serving.api_keys import Keys
from tests.tasks.console.conftest import authorized

CHANGE = {"expected": 1, "why": "It finds carts."}
PROMOTION = {**CHANGE, "version": 2}


@pytest.fixture(scope="module")
def page(shared_repository):
    with TestClient(build_console()) as client:
        yield client


@pytest.fixture(scope="module")
def tokens(page):
    """Of a key that may not decide, and of one that may."""
    keys = Keys()
    return keys.add("Linus", ["predict"]), keys.add("Grace", ["promote"])


@pytest.mark.parametrize(
    ("verb", "body"),
    [("promote", PROMOTION), ("rollback", CHANGE), ("pin", CHANGE), ("unpin", CHANGE)],
)
def test_without_the_right_nothing_is_decided(page, tokens, verb, body):
    reader, decider = tokens
    path = f"/api/detectors/circles/{verb}"
    assert page.post(path, json=body).status_code == 401
    assert page.post(path, json=body, headers=authorized("wrong")).status_code == 401
    refused = page.post(path, json=body, headers=authorized(reader))
    assert refused.status_code == 403
    assert "the right 'promote'" in refused.json()["error"]
    assert page.post(path, json=body, headers=authorized(decider)).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**PROMOTION, "why": "no"},
        {**PROMOTION, "why": "x" * 1001},
        {**PROMOTION, "version": 0},
        {**PROMOTION, "expected": -1},
        {**PROMOTION, "who": "somebody else"},
    ],
)
def test_what_is_not_said_in_full_is_not_done(page, tokens, body):
    key = authorized(tokens[1])
    answer = page.post("/api/detectors/circles/promote", json=body, headers=key)
    assert answer.status_code == 422


def test_a_form_of_another_page_cannot_decide(page, tokens):
    key = authorized(tokens[1])
    answer = page.post("/api/detectors/circles/promote", data=PROMOTION, headers=key)
    assert answer.status_code == 422
    assert not page.cookies
