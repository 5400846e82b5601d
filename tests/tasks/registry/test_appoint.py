import pytest

from models.errors import ConflictError, NotFoundError, RegistryError
from tasks.registry import history, mlflow_store, model_versions
from tasks.registry.appoint import appoint
from tasks.registry.rollback import rollback


@pytest.fixture
def store(repository, register_detector):
    """A registry with two versions, of which the first serves."""
    for seed in range(2):
        register_detector(seed=seed)
    appoint("squares", 1, "It is the first.")
    return mlflow_store.client()


def champion(client):
    return model_versions.aliases(client, "squares")["champion"]


def test_the_version_that_is_named_serves_and_the_history_says_why(store):
    decision = appoint("squares", "challenger", "The gate lacks test clips of carts.")
    assert (decision.action, decision.champion, decision.former) == ("promote", 2, 1)
    assert champion(store) == 2
    assert history.read("squares", store)[-1] == decision
    assert decision.why == "The gate lacks test clips of carts."
    assert rollback("squares", "").champion == 1


def test_a_version_that_serves_already_is_not_entered_again(store):
    with pytest.raises(ConflictError, match="version 1 of squares serves already"):
        appoint("squares", 1, "")
    assert len(history.read("squares", store)) == 1


def test_who_saw_another_champion_is_told_who_made_the_present_one(store):
    appoint("squares", 2, "It is better.", instead_of=1)
    with pytest.raises(ConflictError, match=r"must be served by version 1 .* It is better\."):
        appoint("squares", 2, "It is better.", instead_of=1)
    assert champion(store) == 2
    assert len(history.read("squares", store)) == 2


def test_a_broken_version_does_not_serve(store):
    version = model_versions.resolve(store, "squares", 2)
    (model_versions.folder(version.source) / "weights.safetensors").write_bytes(b"")
    with pytest.raises(RegistryError, match=r"weights\.safetensors"):
        appoint("squares", 2, "")
    assert champion(store) == 1


@pytest.mark.parametrize("wanted", ["9", "best"])
def test_a_version_that_does_not_exist_is_refused(store, wanted):
    with pytest.raises(NotFoundError, match="no version or alias"):
        appoint("squares", wanted, "")
