"""A project from before ``tasks`` had rooms goes on, with its store, registry and recipe."""

import shutil
import time

import pytest
from fastapi.testclient import TestClient
from rich.console import Console

from flows.cli import tables
from flows.reproduce import reproduce
from flows.retrain import retrain
from tasks.lineage.trace import trace
from tasks.registry import history, mlflow_store, model_versions
from tasks.registry.decisions import rollback
from tasks.serving.serve import build_app
from tests import old_store

RECIPE = "recipe.py:squares"


@pytest.fixture(scope="module")
def project(workplace):
    """The old project, in the place of the module's repository."""
    shutil.rmtree(workplace / ".git")
    (workplace / ".unseen" / "mlflow.db").unlink()
    return old_store.unpack(workplace)


def shown(renderable):
    console = Console(width=200)
    with console.capture() as output:
        console.print(renderable)
    return output.get()


def test_it_is_traced(project):
    found = trace("squares")
    assert found.model.version == 1
    assert found.recipe["expectations"]["class"] == "tasks.validate.Expectations"
    assert found.data.available == found.data.version.num_files
    assert [each.action for each in found.decisions] == ["promote", "promote", "rollback"]
    assert found.data.version.digest in shown(tables.rendered(found))


def test_models_and_history_are_shown(project):
    (row,) = [line for line in shown(tables.model_table()).splitlines() if "squares" in line]
    assert row.split()[:4] == ["squares", "2", "1", "2"]
    actions = [each.action for each in history.read("squares", mlflow_store.client())]
    assert actions == ["promote", "promote", "rollback"]
    assert "tried by hand" not in shown(tables.history_table("squares"))
    assert "a fixture" in shown(tables.history_table("squares"))


def test_it_is_served(project):
    picture = next((project / "data" / "squares" / "test" / "disc").glob("*.png")).read_bytes()
    with TestClient(build_app("squares", poll_seconds=0.05)) as client:
        deadline = time.monotonic() + 180
        while client.get("/health").status_code != 200:
            assert time.monotonic() < deadline, client.get("/health").text
            time.sleep(0.05)
        answer = client.post("/predict", files=[("files", ("a.png", picture))])
    assert answer.status_code == 200
    assert answer.json()["version"] == 1
    assert answer.json()["frames"][0]["anomalous"] is True


def test_it_is_reproduced(project):
    found = reproduce("squares")
    assert found.verdict == "differs"  # the context encoder fills its holes otherwise since then
    assert any("two versions of the code" in note for note in found.notes)


def test_its_encoder_is_kept(project):
    decision = retrain(RECIPE, keep_encoder=True)
    assert decision.version == 3
    client = mlflow_store.client()
    before, after = (client.get_model_version("squares", number).tags for number in ("1", "3"))
    assert after["unseen.pretext_run_id"] == before["unseen.pretext_run_id"]


def test_it_is_rolled_back(project):
    client = mlflow_store.client()
    champion = model_versions.aliases(client, "squares")["champion"]
    assert rollback("squares", "an old one is as good").former == champion
    assert model_versions.aliases(client, "squares")["champion"] != champion
