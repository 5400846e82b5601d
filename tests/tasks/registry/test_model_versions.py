import pytest

from models.errors import NotFoundError, RegistryError
from tasks.registry import mlflow_store, model_versions


@pytest.fixture
def store(repository):
    return mlflow_store.client()


def test_a_version_is_found_by_number_and_by_alias(store, register_detector):
    register_detector(seed=1)
    register_detector(seed=2)
    assert int(model_versions.resolve(store, "squares", 1).version) == 1
    assert int(model_versions.resolve(store, "squares", "2").version) == 2
    assert int(model_versions.resolve(store, "squares", "challenger").version) == 2


def test_an_unknown_model_is_answered_with_those_there_are(store, register_detector):
    register_detector(name="squares")
    with pytest.raises(NotFoundError, match=r"no registered model 'circles'. Registered: squares"):
        model_versions.resolve(store, "circles", "champion")


@pytest.mark.parametrize("wanted", ["champion", "7", 7])
def test_an_unknown_version_or_alias_is_answered_with_those_there_are(
    store, register_detector, wanted
):
    register_detector()
    with pytest.raises(NotFoundError, match=f"'{wanted}'. Versions: 1. Aliases: challenger -> 1"):
        model_versions.resolve(store, "squares", wanted)


def test_a_version_whose_files_were_exchanged_is_refused(store, register_detector):
    register_detector(seed=1)
    version = model_versions.resolve(store, "squares", 1)
    store.set_model_version_tag("squares", "1", "unseen.model_digest", "0" * 64)
    assert model_versions.load(version).digest != "0" * 64
    with pytest.raises(RegistryError, match="must be the model that was registered"):
        model_versions.load(model_versions.resolve(store, "squares", 1))
