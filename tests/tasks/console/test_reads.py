import pytest
from fastapi.testclient import TestClient

from tasks.console.app import build_console
from tasks.serving.api_keys import Keys
from tests.tasks.console.conftest import authorized


@pytest.fixture(scope="module")
def page(shared_repository):
    with TestClient(build_console()) as client:
        yield client


def test_an_empty_registry_is_told_as_it_is(page):
    about = page.get("/api/about").json()
    assert (about["repository"], about["key"], about["rights"]) == ("repository", "", ["predict"])
    assert about["mlflow"] == ""
    assert page.get("/api/detectors").json() == []
    assert page.get("/api/data").json() == []
    assert page.get("/api/detectors/squares/serving").json()["state"] == "none"


@pytest.mark.parametrize("part", ["", "/lineage", "/trace", "/drift", "/lineage?version=2"])
def test_unknown_detectors_are_refused_in_a_sentence(page, part):
    answer = page.get(f"/api/detectors/circles{part}")
    assert answer.status_code == 404
    assert "no registered model 'circles'" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/detectors/circles/lineage?version=none", 422),
        ("/api/detectors/circles/lineage?version=0", 422),
        ("/api/validations/../../etc", 404),
        ("/api/validations/zzz", 422),
        (f"/api/validations/{'0' * 32}", 404),
        (f"/api/validations/{'0' * 32}/docs", 404),
        (f"/api/validations/{'0' * 32}/docs/index.html", 404),
        ("/api/data/circles/changes?before=a&after=b", 404),
        ("/api/data/circles/changes", 422),
        ("/api/nothing", 404),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(page, path, status):
    answer = page.get(path)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert "Traceback" not in answer.text


def test_as_soon_as_predictions_need_a_key_so_does_looking(page):
    token = Keys().add("Linus", ["predict"])
    for path in ("about", "detectors", "data", "detectors/circles", "detectors/circles/serving"):
        assert page.get(f"/api/{path}").status_code == 401
    about = page.get("/api/about", headers=authorized(token)).json()
    assert (about["key"], about["rights"]) == ("Linus", ["predict"])
    assert page.get("/api/about", headers=authorized("wrong")).status_code == 401
    assert page.get("/").status_code == 200
    Keys().remove("Linus")
