import pytest

from models.errors import NotFoundError, RegistryError
from tasks import history, registry, tracking
from tasks.records import Decision
from tasks.rollback import rollback


@pytest.fixture
def store(repository):
    return tracking.client()


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
    aliases = registry.aliases(three_champions, "squares")
    assert aliases == {"champion": 2, "former-champion": 3, "challenger": 3}
    assert history.read("squares", three_champions)[-1] == decision
    assert decision.why == "It misses carts."
    assert decision.who


def test_two_rollbacks_go_further_back(three_champions):
    rollback("squares", "")
    assert rollback("squares", "").champion == 1
    with pytest.raises(NotFoundError, match="No version of squares served before"):
        rollback("squares", "")
    assert registry.aliases(three_champions, "squares")["champion"] == 1


def test_nothing_moves_when_the_former_champion_is_broken(three_champions):
    former = registry.resolve(three_champions, "squares", 2)
    (registry.folder(former.source) / "weights.safetensors").write_bytes(b"")
    with pytest.raises(RegistryError, match=r"weights\.safetensors"):
        rollback("squares", "")
    assert registry.aliases(three_champions, "squares")["champion"] == 3
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
