import pytest
import torch

from models.errors import NotFoundError, RegistryError
from tasks.records import TrainedModel
from tasks.registry import mlflow_store
from tasks.training import encoder_store
from tests.tasks.conftest import VERSION


@pytest.fixture
def logged(repository, tiny_detector):
    pool = tiny_detector.Pool.Config(channels=3).build()
    torch.nn.init.normal_(pool.weight)
    with mlflow_store.run("pretrain", "squares", tags={}, params={}) as active:
        encoder_store.log(pool, VERSION, "pretext")
    uri = f"runs:/{active.info.run_id}/{encoder_store.FOLDER}"
    trained = TrainedModel(run_id=active.info.run_id, model_uri=uri, data_digest=VERSION.digest)
    return pool, trained


def test_an_encoder_comes_back_with_its_weights_and_its_origin(logged):
    pool, trained = logged
    encoder, pretext = encoder_store.load(trained)
    assert encoder.config == pool.config
    assert torch.equal(encoder.weight, pool.weight)
    assert pretext["run_id"] == trained.run_id
    assert pretext["backbone"] == "pretext"
    assert pretext["data"]["digest"] == VERSION.digest


def test_an_encoder_whose_code_has_changed_is_refused(logged, tiny_detector, monkeypatch):
    _, trained = logged
    monkeypatch.delattr(tiny_detector, "Pool")
    with pytest.raises(RegistryError, match="must fit the present code"):
        encoder_store.load(trained)


def test_a_run_without_an_encoder_is_refused(repository):
    with mlflow_store.run("validate", "squares", tags={}, params={}) as active:
        pass
    uri = f"runs:/{active.info.run_id}/{encoder_store.FOLDER}"
    empty = TrainedModel(run_id=active.info.run_id, model_uri=uri, data_digest=VERSION.digest)
    with pytest.raises(NotFoundError, match="must be in the MLflow store"):
        encoder_store.load(empty)
