import hashlib

import pytest
from fastapi.testclient import TestClient

from tasks.console.app import build_console
from tasks.feedback import inbox
from tasks.serving.api_keys import Keys
from tests.tasks.console.conftest import authorized
from tests.tasks.feedback.scoring import scored

PATH = "/api/detectors/squares"


@pytest.fixture
def page(repository):
    scored("squares", [(b"alarm", 0.01)], [(b"close", 0.06)])
    with TestClient(build_console()) as client:
        yield client


def test_everybody_who_may_look_sees_the_inbox_and_its_pictures(page):
    found = page.get(f"{PATH}/inbox").json()
    assert [each["prediction"] for each in found] == ["r1", "r0"]
    answer = page.get(f"{PATH}/pictures/{found[1]['picture']}")
    assert answer.content == b"alarm"
    assert "sandbox" in answer.headers["content-security-policy"]  # it may be any file
    nothing = hashlib.sha256(b"nothing").hexdigest()
    assert page.get(f"{PATH}/pictures/{nothing}").status_code == 404
    assert page.get(f"{PATH}/look", params={"prediction": "r7"}).status_code == 404


def test_who_judges_needs_the_right_and_stands_with_the_judgement(page):
    said = {"prediction": "r0", "verdict": "defect", "kind": "dent"}
    for path, body in (("judgements", said), ("judgements/undo", {}), ("absorb", {})):
        assert page.post(f"{PATH}/{path}", json=body).status_code == 401
        other = authorized(Keys().add(f"no {path}", ["promote"]))
        refused = page.post(f"{PATH}/{path}", json=body, headers=other)
        assert (refused.status_code, "the right 'label'" in refused.text) == (403, True)
    lise = authorized(Keys().add("Lise", ["label"]))
    judged = page.post(f"{PATH}/judgements", json=said, headers=lise).json()
    assert (judged["who"], judged["kind"]) == ("Lise (console)", "dent")
    assert len(inbox.inbox("squares")) == 1
    wrong = page.post(f"{PATH}/judgements", json={**said, "kind": "good"}, headers=lise)
    assert wrong.status_code == 422
    assert page.post(f"{PATH}/judgements/undo", json={}, headers=lise).json() == judged
    assert len(inbox.inbox("squares")) == 2
    assert page.post(f"{PATH}/judgements/undo", json={}, headers=lise).status_code == 404
    assert page.post(f"{PATH}/absorb", json={}, headers=lise).status_code == 404  # no such model
