import contextlib
import json
import os
import sqlite3
from dataclasses import replace

import pytest
from mlflow import MlflowClient

from models.errors import NotFoundError
from tasks.records import Decision
from tasks.registry import history, mlflow_store, model_versions
from tasks.registry.tags import HISTORY


def decision(version, champion, former=None, action="promote", name="squares"):
    return Decision(
        action=action,
        name=name,
        version=version,
        champion=champion,
        former=former,
        why="It is better.",
        who="Ada",
        when=history.now(),
        figures={"difference": 0.1},
    )


@pytest.fixture
def store(repository):
    """A registry with four versions of a model; whose files are not looked at."""
    client = mlflow_store.client()
    client.create_registered_model("squares")
    for _ in range(4):
        client.create_model_version("squares", source="s3://models/squares")
    return client


def test_decisions_come_back_in_the_order_in_which_they_were_made(store):
    made = [decision(1, 1), decision(2, 1, 1, action="refuse"), decision(3, 3, 1)]
    for each in made:
        history.record(each, store)
    assert history.read("squares", store) == tuple(made)


def test_a_decision_puts_the_aliases_where_it_says(store):
    history.record(decision(1, 1), store)
    assert model_versions.aliases(store, "squares") == {"champion": 1}
    history.record(decision(2, 2, 1), store)
    assert model_versions.aliases(store, "squares") == {"champion": 2, "former-champion": 1}
    history.record(decision(3, 2, 2, action="refuse"), store)
    assert model_versions.aliases(store, "squares") == {"champion": 2, "former-champion": 1}


def test_a_version_carries_the_last_decision_about_it(store):
    history.record(decision(1, 1), store)
    tag = store.get_model_version("squares", "1").tags["unseen.decision"]
    assert Decision(**json.loads(tag)) == history.read("squares", store)[0]


def test_entries_keep_their_order_when_the_clock_goes_back(store, monkeypatch):
    store.set_registered_model_tag(
        "squares",
        f"{HISTORY}2999-01-01T00:00:00.000000-00000000",
        json.dumps(decision(1, 1).__dict__),
    )
    history.record(decision(2, 2, 1), store)
    assert [each.version for each in history.read("squares", store)] == [1, 2]


class Killed(BaseException):
    """Stands for a process that ends between two calls."""


@pytest.mark.parametrize("call", range(5))
def test_a_decision_survives_being_killed_before_any_call_and_is_made_once(
    store, monkeypatch, call
):
    history.record(decision(1, 1), store)
    calls = []
    for method in (
        "set_registered_model_tag",
        "set_registered_model_alias",
        "set_model_version_tag",
    ):
        original = getattr(MlflowClient, method)

        def interrupted(*arguments, _original=original):
            calls.append(arguments)
            if len(calls) > call:
                raise Killed
            return _original(*arguments)

        monkeypatch.setattr(MlflowClient, method, interrupted)
    with pytest.raises(Killed):
        history.record(decision(2, 2, 1), store)
    monkeypatch.undo()

    history.settle("squares", store)
    made = [each.version for each in history.read("squares", store)]
    champion = model_versions.aliases(store, "squares")["champion"]
    assert (made, champion) == (([1], 1) if call == 0 else ([1, 2], 2))
    history.settle("squares", store)
    assert [each.version for each in history.read("squares", store)] == made


def test_an_alias_that_was_moved_by_hand_afterwards_is_left_alone(store):
    history.record(decision(1, 1), store)
    store.set_registered_model_alias("squares", "champion", "3")
    history.settle("squares", store)
    assert model_versions.aliases(store, "squares")["champion"] == 3


@pytest.mark.parametrize(
    ("made", "champion", "expected"),
    [
        ([], None, []),
        ([], 2, [2]),
        ([decision(1, 1)], 1, [1]),
        ([decision(1, 1), decision(2, 2, 1), decision(3, 3, 2)], 3, [1, 2, 3]),
        ([decision(1, 1), decision(2, 1, 1, action="refuse")], 1, [1]),
        (
            [decision(1, 1), decision(2, 2, 1), decision(2, 1, 2, action="rollback")],
            1,
            [1],
        ),
        (
            [
                decision(1, 1),
                decision(2, 2, 1),
                decision(2, 1, 2, action="rollback"),
                decision(3, 3, 1),
            ],
            3,
            [1, 3],
        ),
        ([decision(1, 1), decision(4, 4, 3)], 4, [1, 3, 4]),
        ([decision(1, 1), decision(2, 2, 1)], 3, [1, 2, 3]),
    ],
    ids=[
        "nothing",
        "by hand only",
        "first",
        "three promotions",
        "a refusal",
        "a rollback",
        "a promotion after a rollback",
        "a move by hand in between",
        "a move by hand at the end",
    ],
)
def test_the_succession_tells_what_to_roll_back_to(made, champion, expected):
    assert history.succession(made, champion) == expected


def test_a_long_reason_is_cut_to_what_every_database_takes(store):
    long = replace(decision(1, 1), why="because " * 1000)
    recorded = history.record(long, store)
    assert recorded.why.startswith("because")
    assert history.read("squares", store) == (recorded,)


def test_the_history_of_an_unknown_model_is_refused(store):
    with pytest.raises(NotFoundError, match="no registered model 'circles'"):
        history.read("circles", store)


@pytest.mark.parametrize(
    ("change", "champion", "why"),
    [
        (lambda c: c.set_registered_model_alias("squares", "champion", "3"), 3, "set to version 3"),
        (lambda c: c.delete_registered_model_alias("squares", "champion"), 0, "taken away"),
        (lambda c: c.delete_model_version("squares", "2"), 0, "Version 2 was deleted"),
    ],
)
def test_what_was_done_with_mlflow_is_told_and_entered_once(store, change, champion, why):
    history.record(decision(2, 2), store)
    change(store)
    told = history.read("squares", store)[-1]
    assert (told.action, told.champion, told.former) == (history.BY_MLFLOW, champion, 2)
    assert why in told.why
    for _ in range(2):
        history.notice("squares", store)
    _, entered = history.read("squares", store)
    assert replace(entered, when=told.when) == told
    assert model_versions.aliases(store, "squares").get("champion", 0) == champion


def test_an_alias_that_names_a_deleted_version_is_no_champion(store):
    history.record(decision(2, 2), store)
    store.delete_model_version("squares", "2")
    path = os.environ["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path)) as database, database:  # as older MLflow left it
        database.execute(
            "insert into registered_model_aliases (name, alias, version, workspace) "
            "select name, 'champion', 2, workspace from registered_models"
        )
    assert model_versions.aliases(store, "squares")["champion"] == 2
    assert model_versions.champion(store, "squares") is None
    with pytest.raises(NotFoundError, match="champion -> 2, which was deleted"):
        model_versions.resolve(store, "squares", "champion")
    history.notice("squares", store)
    assert history.read("squares", store)[-1].why.startswith("Version 2 was deleted")


def test_a_decision_that_is_noticed_while_another_decides_is_left_to_them(store):
    store.set_registered_model_alias("squares", "champion", "3")
    with history.lock("squares"):
        history.notice("squares", store)
        assert not [key for key in model_versions.model(store, "squares").tags if HISTORY in key]
    assert history.read("squares", store)[-1].champion == 3


@pytest.mark.parametrize("text", ["{", "[1]", '{"action": "promote"}', '{"colour": "red"}'])
def test_an_unreadable_entry_costs_that_entry(store, text):
    first, second = decision(1, 1), decision(2, 2, 1)
    history.record(first, store)
    store.set_registered_model_tag("squares", f"{HISTORY}2000-01-01T00:00:00.000000-0", text)
    history.record(second, store)
    damaged, *readable = history.read("squares", store)
    assert readable == [first, second]
    assert (damaged.action, damaged.when[:10]) == ("unreadable", "2000-01-01")
    assert text[:3] in damaged.why
    assert history.served_before(history.read("squares", store), 2, {1, 2}) == 1


def test_a_move_by_hand_while_a_decision_waited_for_its_effect_holds(store):
    history.record(decision(1, 1), store)
    late = json.dumps(decision(2, 2, 1).__dict__)
    store.set_registered_model_tag("squares", f"{HISTORY}2999-01-01T00:00:00.000000-0", late)
    store.set_registered_model_alias("squares", "champion", "3")
    history.settle("squares", store)
    assert model_versions.aliases(store, "squares")["champion"] == 3
    assert [each.champion for each in history.read("squares", store)] == [1, 2, 3]
