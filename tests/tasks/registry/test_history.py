import json
from dataclasses import replace

import pytest
from mlflow import MlflowClient

from models.errors import NotFoundError
from tasks.records import Decision
from tasks.registry import history, mlflow_store, model_versions


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
        f"{history.ENTRY}2999-01-01T00:00:00.000000-00000000",
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


def test_decisions_are_signed_by_the_git_user(repository):
    from tasks.platform import git

    git.ask("config", "user.name", "Ada", folder=repository)
    git.ask("config", "user.email", "ada@example.org", folder=repository)
    assert history.who() == "Ada <ada@example.org>"
