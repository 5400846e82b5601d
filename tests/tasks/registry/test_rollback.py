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
from tasks.registry.appoint import appoint
from tasks.registry.rollback import rollback


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
def three_champions(store, register_detector):
    for seed in range(3):
        made, _ = register_detector(seed=seed)
        promoted(store, made.version, made.version - 1 or None)
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
    with pytest.raises(NotFoundError, match="No version of squares served before"):
        rollback("squares", "")
    assert model_versions.aliases(three_champions, "squares")["champion"] == 1


def test_nothing_moves_when_the_former_champion_is_broken(three_champions):
    former = model_versions.resolve(three_champions, "squares", 2)
    (model_versions.folder(former.source) / "weights.safetensors").write_bytes(b"")
    with pytest.raises(RegistryError, match=r"weights\.safetensors"):
        rollback("squares", "")
    assert model_versions.aliases(three_champions, "squares")["champion"] == 3
    assert len(history.read("squares", three_champions)) == 3


def test_nothing_moves_when_the_former_champion_was_deleted(three_champions):
    three_champions.delete_model_version("squares", "2")
    with pytest.raises(NotFoundError, match="no version or alias '2'"):
        rollback("squares", "")


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
from tasks.rollback import rollback
print("ready", flush=True)
sys.stdin.readline()
try:
    print(rollback("squares", sys.argv[1], instead_of=3).champion)
except ConflictError as error:
    print(error)
"""


def test_of_two_operators_at_once_one_wins_and_the_other_is_told(three_champions):
    environment = {**os.environ, "PYTHONPATH": str(Path(history.__file__).parents[1])}
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
