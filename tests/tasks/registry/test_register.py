import json
from dataclasses import replace

import pytest

from models.errors import NotFoundError, RegistryError
from tasks.records import Report
from tasks.registry import mlflow_store, model_versions
from tasks.registry.register import register
from tests.tasks.conftest import VERSION


def report_of(trained):
    return Report(
        run_id=trained.run_id,
        data_digest=VERSION.digest,
        metrics={"frame_auc": 0.9, "frame_eer": 0.1},
    )


@pytest.fixture
def store(repository):
    return mlflow_store.client()


def test_a_new_version_is_the_challenger_and_carries_its_lineage(store, log_detector):
    trained = log_detector()
    made = register.fn(trained, report_of(trained), "squares")
    assert (made.name, made.version, made.alias) == ("squares", 1, "challenger")
    version = model_versions.resolve(store, "squares", "challenger")
    ours = {key: value for key, value in version.tags.items() if key.startswith("unseen.")}
    tags = {key.removeprefix("unseen."): value for key, value in ours.items()}
    assert version.run_id == made.run_id == tags["run_id"] == trained.run_id
    assert tags["data_digest"] == tags["pretext_data_digest"] == VERSION.digest
    assert tags["data_md5"] == VERSION.dvc_md5
    assert tags["data_num_files"] == "3"
    assert tags["validation_run_id"] == "2" * 32
    assert tags["pretext_run_id"] == "3" * 32
    assert float(tags["metric.frame_auc"]) == 0.9
    assert json.loads(tags["recipe"])["name"] == "squares"
    assert tags["model_digest"] == model_versions.load(version).digest


def test_the_same_run_is_never_registered_twice(store, log_detector):
    trained = log_detector()
    first = register.fn(trained, report_of(trained), "squares")
    assert register.fn(trained, report_of(trained), "squares") == first
    assert len(model_versions.versions(store, "squares")) == 1


def test_a_task_killed_before_the_alias_completes_when_it_is_run_again(store, log_detector):
    trained = log_detector()
    register.fn(trained, report_of(trained), "squares")
    store.delete_registered_model_alias("squares", "challenger")
    assert register.fn(trained, report_of(trained), "squares").alias == "challenger"
    assert model_versions.aliases(store, "squares") == {"challenger": 1}


def test_registering_an_earlier_run_again_takes_no_alias_from_a_later_one(store, log_detector):
    first, second = log_detector(seed=1), log_detector(seed=2)
    register.fn(first, report_of(first), "squares")
    register.fn(second, report_of(second), "squares")
    again = register.fn(first, report_of(first), "squares")
    assert (again.version, again.alias) == (1, "")
    assert model_versions.aliases(store, "squares") == {"challenger": 2}


def test_a_model_with_a_changed_byte_is_not_registered(store, log_detector):
    trained = log_detector()
    weights = model_versions.folder(trained.model_uri) / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(RegistryError, match="exactly the bytes"):
        register.fn(trained, report_of(trained), "squares")
    with pytest.raises(NotFoundError, match="no registered model 'squares'"):
        model_versions.aliases(store, "squares")


def test_a_model_that_is_nowhere_is_not_registered(store, log_detector):
    trained = log_detector()
    lost = replace(trained, model_uri="models:/m-" + "0" * 32)
    with pytest.raises(RegistryError, match="artifact store"):
        register.fn(lost, report_of(trained), "squares")


def test_the_evaluation_of_another_run_is_refused(store, log_detector):
    trained, other = log_detector(seed=1), log_detector(seed=2)
    with pytest.raises(RegistryError, match="its own evaluation"):
        register.fn(trained, report_of(other), "squares")
