import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from mlflow import MlflowClient

from benchmarks import _crash_checks as checks
from models.errors import ConflictError, NotFoundError, RegistryError
from tasks.records import Decision
from tasks.registry import history, mlflow_store, model_versions
from tasks.registry.decisions import appoint, pin, rollback, unpin


@pytest.fixture
def store(repository):
    return mlflow_store.client()


def promoted(client, version, former):
    history.record(
        Decision(
            action="promote",
            name="squares",
            version=version,
            champion=version,
            former=former,
            why="It is better.",
            who="Ada",
            when=history.now(),
        ),
        client,
    )


@pytest.fixture
def three_champions(registered):
    made = registered(*({"seed": seed} for seed in range(3)))
    store = mlflow_store.client()
    for each, _ in made:
        promoted(store, each.version, each.version - 1 or None)
    return store


def test_the_version_that_served_before_serves_again(three_champions):
    decision = rollback("squares", "It misses carts.")
    assert (decision.action, decision.version, decision.champion, decision.former) == (
        "rollback",
        3,
        2,
        3,
    )
    aliases = model_versions.aliases(three_champions, "squares")
    assert aliases == {"champion": 2, "former-champion": 3, "challenger": 3}
    assert history.read("squares", three_champions)[-1] == decision
    assert decision.why == "It misses carts."
    assert decision.who


def test_two_rollbacks_go_further_back(three_champions):
    rollback("squares", "")
    assert rollback("squares", "").champion == 1
    with pytest.raises(NotFoundError, match="No version of squares that exists served before"):
        rollback("squares", "")
    assert model_versions.aliases(three_champions, "squares")["champion"] == 1


def test_nothing_moves_when_the_former_champion_is_broken(three_champions):
    former = model_versions.resolve(three_champions, "squares", 2)
    (model_versions.folder(former.source) / "weights.safetensors").write_bytes(b"")
    with pytest.raises(RegistryError, match=r"weights\.safetensors"):
        rollback("squares", "")
    assert model_versions.aliases(three_champions, "squares")["champion"] == 3
    assert len(history.read("squares", three_champions)) == 3


@pytest.mark.parametrize(
    ("deleted", "serves", "then"),
    [((2,), 3, 1), ((3,), 0, 2), ((3, 2), 0, 1), ((1, 2), 3, None), ((1, 2, 3), 0, None)],
)
def test_a_rollback_goes_past_versions_that_were_deleted(three_champions, deleted, serves, then):
    for number in deleted:
        three_champions.delete_model_version("squares", str(number))
    assert (model_versions.champion(three_champions, "squares") or 0) == serves
    if then is None:
        with pytest.raises(NotFoundError, match=r"No version .* served before|ever served"):
            rollback("squares", "")
        return
    decision = rollback("squares", "It misses carts.")
    assert (decision.champion, decision.former) == (then, serves or None)
    assert model_versions.champion(three_champions, "squares") == then
    if not serves:
        assert history.read("squares", three_champions)[-2].action == history.BY_MLFLOW


def test_a_model_without_a_champion_cannot_be_rolled_back(store, register_detector):
    register_detector()
    with pytest.raises(NotFoundError, match="has no champion"):
        rollback("squares", "")


def test_an_unknown_model_is_refused(store):
    with pytest.raises(NotFoundError, match=r"no registered model 'circles'. Registered: none"):
        rollback("circles", "")


def test_who_saw_another_champion_does_not_go_further_back(three_champions):
    rollback("squares", "It misses carts.", instead_of=3)
    with pytest.raises(ConflictError, match=r"version 2 serves since the rollback by .* carts\."):
        rollback("squares", "It misses carts.", instead_of=3)
    assert model_versions.aliases(three_champions, "squares")["champion"] == 2
    assert len(history.read("squares", three_champions)) == 4


def test_a_rollback_that_was_killed_before_it_took_effect_is_finished_and_not_repeated(
    three_champions, monkeypatch
):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", die)
        with pytest.raises(Killed):
            rollback("squares", "It misses carts.")
    with pytest.raises(ConflictError, match=r"It misses carts\."):
        rollback("squares", "It misses carts.")
    assert model_versions.aliases(three_champions, "squares")["champion"] == 2
    assert len(history.read("squares", three_champions)) == 4


OPERATOR = """
import sys
from models.errors import ConflictError
from tasks.registry.decisions import rollback
print("ready", flush=True)
sys.stdin.readline()
try:
    print(rollback("squares", sys.argv[1], instead_of=3).champion)
except ConflictError as error:
    print(error)
"""


def test_of_two_operators_at_once_one_wins_and_the_other_is_told(three_champions):
    environment = {**os.environ, "PYTHONPATH": str(Path(history.__file__).parents[2])}
    other = subprocess.Popen(
        [sys.executable, "-c", OPERATOR, "Says Grace."],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "ready\n"
    other.stdin.write("\n")
    other.stdin.flush()
    try:
        mine = str(rollback("squares", "Says Ada.", instead_of=3).champion)
    except ConflictError as error:
        mine = str(error)
    answers = {"Says Ada.": mine, "Says Grace.": other.communicate(timeout=300)[0].strip()}
    made = history.read("squares", three_champions)
    assert len(made) == 4
    assert answers.pop(made[-1].why) == "2"
    (told,) = answers.values()
    assert made[-1].why in told
    assert "Nothing was done" in told
    assert model_versions.aliases(three_champions, "squares")["champion"] == 2


def test_a_reader_always_sees_one_champion_with_complete_artifacts(three_champions, repository):
    seen, wrong, done = [], [], threading.Event()

    def poll():
        while not done.is_set():
            state = checks.read(repository)
            seen.append(state.aliases["squares", "champion"])
            wrong.extend(checks.problems(repository, state))

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        for _ in range(2):
            rollback("squares", "")
            appoint("squares", 3, "")
    finally:
        done.set()
        reader.join()
    assert wrong == []
    assert {2, 3} == set(seen)


@pytest.fixture
def two_versions(registered):
    """A registry with two versions, of which the first serves."""
    registered({"seed": 0}, {"seed": 1})
    appoint("squares", 1, "It is the first.")
    return mlflow_store.client()


def champion(client):
    return model_versions.champion(client, "squares")


def test_the_version_that_is_named_serves_and_the_history_says_why(two_versions):
    decision = appoint("squares", "challenger", "The gate lacks test clips of carts.")
    assert (decision.action, decision.champion, decision.former) == ("promote", 2, 1)
    assert champion(two_versions) == 2
    assert history.read("squares", two_versions)[-1] == decision
    assert decision.why == "The gate lacks test clips of carts."
    assert rollback("squares", "").champion == 1


def test_a_version_that_serves_already_is_not_entered_again(two_versions):
    with pytest.raises(ConflictError, match="version 1 of squares serves already"):
        appoint("squares", 1, "")
    assert len(history.read("squares", two_versions)) == 1


def test_who_saw_another_champion_is_told_who_made_the_present_one(two_versions):
    appoint("squares", 2, "It is better.", instead_of=1)
    with pytest.raises(ConflictError, match=r"must be served by version 1 .* It is better\."):
        appoint("squares", 2, "It is better.", instead_of=1)
    assert champion(two_versions) == 2
    assert len(history.read("squares", two_versions)) == 2


def test_a_broken_version_does_not_serve(two_versions):
    version = model_versions.resolve(two_versions, "squares", 2)
    (model_versions.folder(version.source) / "weights.safetensors").write_bytes(b"")
    with pytest.raises(RegistryError, match=r"weights\.safetensors"):
        appoint("squares", 2, "")
    assert champion(two_versions) == 1


@pytest.mark.parametrize("wanted", ["9", "best"])
def test_a_version_that_does_not_exist_is_refused(two_versions, wanted):
    with pytest.raises(NotFoundError, match="no version or alias"):
        appoint("squares", wanted, "")


def test_a_pin_names_who_serves_and_holds_until_it_is_taken_away(two_versions):
    assert history.pinned(history.read("squares", two_versions)) is None
    made = pin("squares", 2, "The line is being rebuilt.")
    assert (made.action, made.champion, made.former, champion(two_versions)) == ("pin", 2, 1, 2)
    assert rollback("squares", "").champion == 1
    assert history.pinned(history.read("squares", two_versions)) == made
    assert pin("squares", None, "").champion == 1
    assert unpin("squares", "").action == "unpin"
    assert history.pinned(history.read("squares", two_versions)) is None
    with pytest.raises(ConflictError, match="must be pinned"):
        unpin("squares", "")
