import json
import sqlite3
import time

import pytest

from models.errors import NotFoundError, RegistryError
from tasks.packaging.detector import Packaged
from tasks.registry import mlflow_store, model_versions
from tasks.registry.tags import HISTORY_IN_EFFECT
from tasks.serving.champion import Champion, deploy
from tests.tasks.deployed import damaged, package_of


@pytest.fixture(scope="module")
def two_versions(settled):
    settled.deploy(seed=1, promoted=False)


@pytest.fixture
def champion(two_versions):
    """Serves version 1; version 2 is there too."""
    promote(1)
    made = Champion("squares", poll_seconds=0.01)
    made.refresh()
    yield made
    made.stop()


def promote(version):
    mlflow_store.client().set_registered_model_alias("squares", "champion", str(version))


def weights():
    return package_of("squares", 2) / "weights.safetensors"


def wait_until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_serves_is_loaded_and_known(champion):
    assert (champion.deployed.name, champion.deployed.version) == ("squares", 1)
    assert champion.problem is None
    recorded = model_versions.resolve(mlflow_store.client(), "squares", 1).tags[
        "unseen.model_digest"
    ]
    assert champion.deployed.packaged.digest == recorded


def test_it_is_loaded_once_as_long_as_the_alias_stays(champion):
    before = champion.deployed
    champion.refresh()
    assert champion.deployed is before


def test_the_alias_is_followed_there_and_back(champion):
    for version in (2, 1):
        promote(version)
        champion.refresh()
        assert champion.deployed.version == version


def test_a_move_with_mlflow_enters_the_history_within_a_poll(champion):
    promote(2)
    champion.refresh()
    told = model_versions.model(mlflow_store.client(), "squares").tags
    last = json.loads(told[told[HISTORY_IN_EFFECT]])
    assert (last["action"], last["champion"], last["former"]) == ("set in MLflow", 2, 1)


def test_a_broken_champion_leaves_the_former_one_serving(champion):
    promote(2)
    with damaged(weights()), pytest.raises(RegistryError, match="exactly the bytes"):
        champion.refresh()
    assert champion.deployed.version == 1


def test_a_broken_champion_is_tried_again_only_after_a_pause(champion):
    champion.poll_seconds = 1000
    promote(2)
    with damaged(weights()), pytest.raises(RegistryError):
        champion.refresh()
    champion.refresh()
    assert champion.deployed.version == 1


def test_a_rollback_from_a_broken_champion_is_followed_at_once(champion):
    champion.poll_seconds = 1000
    promote(2)
    with damaged(weights()), pytest.raises(RegistryError):
        champion.refresh()
    champion.problem = "It is broken."
    promote(1)
    champion.refresh()
    assert (champion.deployed.version, champion.problem) == (1, None)


def test_a_mended_champion_takes_over_in_the_end(champion):
    promote(2)
    with damaged(weights()):
        champion.start()
        wait_until(lambda: "exactly the bytes" in (champion.problem or ""))
    wait_until(lambda: champion.problem is None)
    assert champion.deployed.version == 2


def test_it_goes_on_while_the_registry_is_away(champion, settled):
    with sqlite3.connect(settled.folder / ".unseen" / "mlflow.db") as database:
        database.execute("ALTER TABLE registered_models RENAME TO lost")
        database.commit()
        champion.start()
        wait_until(lambda: champion.problem is not None)
        assert champion.deployed.version == 1
        database.execute("ALTER TABLE lost RENAME TO registered_models")
        database.commit()
        wait_until(lambda: champion.problem is None)


def test_a_lost_alias_is_reported_and_changes_nothing(champion):
    mlflow_store.client().delete_registered_model_alias("squares", "champion")
    with pytest.raises(NotFoundError, match="'champion'"):
        champion.refresh()
    assert champion.deployed.version == 1


def test_a_detector_that_gives_no_number_does_not_serve(settled, monkeypatch):
    score = Packaged.score

    def lost(self, *args, **options):
        found = score(self, *args, **options)
        found.image_score[:] = float("nan")
        return found

    monkeypatch.setattr(Packaged, "score", lost)
    with pytest.raises(RegistryError, match=r"squares version 1 must score .* with a number"):
        deploy(model_versions.resolve(mlflow_store.client(), "squares", 1))
