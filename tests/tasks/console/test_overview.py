import json

import pytest

from models.errors import NotFoundError
from tasks.console.overview import detector, detectors
from tasks.records import Decision
from tasks.registry import history, mlflow_store


@pytest.fixture
def client(repository):
    return mlflow_store.client()


def register(client, name="squares", **tags):
    if not client.search_registered_models(f"name='{name}'"):
        client.create_registered_model(name)
    ours = {f"unseen.{key.replace('__', '.')}": value for key, value in tags.items()}
    return client.create_model_version(name, source="s3://bucket/model", tags=ours)


def decide(client, action, version, champion, former):
    made = Decision(
        action=action,
        name="squares",
        version=version,
        champion=champion,
        former=former,
        why="",
        who="Ada",
        when=history.now(),
    )
    return history.record(made, client)


RECIPE = {
    "detector": {"class": "models.one_class.knn.NearestNeighbours.Config"},
    "promotion": {"metric": "image_auroc"},
    "training": {"seed": 5},
}


def test_an_empty_registry_has_no_detectors(client):
    assert detectors(client) == []


def test_versions_have_their_figures_recipe_and_data(client):
    tags = {"recipe": json.dumps(RECIPE), "metric__image_auroc": "0.75", "metric__eer": "nan"}
    register(client, data_name="screws", data_digest="0.dir", model_digest="ab", **tags)
    found = detector(client, "squares")
    assert (found.kind, found.metric) == ("NearestNeighbours", "image_auroc")
    (version,) = found.versions
    assert version.metrics == {"image_auroc": 0.75}
    assert (version.seed, version.data_name, version.digest) == (5, "screws", "ab")
    assert (found.champion, found.since, found.rollback_to) == (None, None, None)


def test_decisions_say_who_serves_since_when_and_what_a_rollback_would_do(client):
    for _ in range(3):
        register(client)
    decide(client, "promote", 1, 1, None)
    promoted = decide(client, "promote", 2, 2, 1)
    decide(client, "refuse", 3, 2, 2)
    found = detector(client, "squares")
    assert (found.champion, found.since, found.rollback_to) == (2, promoted.when, 1)
    assert [each.version for each in found.versions] == [1, 2, 3]
    assert "champion" in found.versions[1].aliases
    assert [each.action for each in found.decisions] == ["promote", "promote", "refuse"]


def test_what_was_done_with_mlflow_is_shown_like_any_decision(client):
    register(client)
    register(client)
    decide(client, "promote", 1, 1, None)
    client.set_registered_model_alias("squares", "champion", "2")
    found = detector(client, "squares")
    assert found.decisions[-1].action == history.BY_MLFLOW
    assert (found.since, found.rollback_to) == (found.decisions[-1].when, 1)
    client.delete_model_version("squares", "2")
    found = detector(client, "squares")
    assert (found.champion, found.since, found.rollback_to) == (None, None, 1)
    decide(client, "pin", 1, 1, None)
    assert detector(client, "squares").pinned.action == "pin"


def test_a_recipe_that_was_too_long_for_its_tag_is_done_without(client):
    register(client, recipe='{"name": "squ', metric__frame_auc="0.5")
    found = detector(client, "squares")
    assert (found.kind, found.metric) == ("", "frame_auc")


def test_an_unknown_model_is_refused(client):
    with pytest.raises(NotFoundError, match="no registered model 'circles'"):
        detector(client, "circles")
