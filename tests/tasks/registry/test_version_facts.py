import json

import mlflow
import pytest
from mlflow import MlflowClient

from models.errors import RegistryError
from tasks.registry import mlflow_store, model_versions
from tasks.registry.tags import TAG
from tasks.registry.version_facts import gather, get_run, read_json
from tests.tasks.deployed import VALIDATION, damaged, package_of, tagged


def registered():
    return model_versions.resolve(mlflow_store.client(), "squares", "champion")


def known():
    return gather(mlflow_store.client(), registered())


def test_all_three_places_tell_the_same(settled):
    found = known()
    written = read_json(registered(), "lineage.json")
    for key in ("recipe", "seed", "run_id", "git_commit", "validation"):
        assert found.lineage[key] == written[key]
    assert found.lineage["pretext"]["run_id"] == written["pretext"]["run_id"]
    assert found.lineage["data"]["digest"] == settled.clips.digest
    assert len(found.files) == 32
    assert found.metrics == {"frame_auc": 0.875, "frame_eer": 0.125}
    assert found.model_digest == model_versions.load(registered()).digest
    assert found.run.info.run_id == registered().run_id
    assert found.notes == ()


def test_without_tags_the_files_tell(settled):
    before = known()
    names = [key.removeprefix(TAG) for key in registered().tags if key.startswith(TAG)]
    with tagged(**dict.fromkeys(names)):
        assert not [key for key in registered().tags if key.startswith(TAG)]
        after = known()
    assert after.lineage == before.lineage
    assert after.notes == ()


def test_without_files_the_tags_tell(settled):
    folder = package_of()
    with damaged(folder / "lineage.json", b""), damaged(folder / "files.json", b""):
        found = known()
    assert found.files is None
    assert found.lineage["data"]["dvc_md5"] == settled.clips.dvc_md5
    assert found.lineage["validation"] == {"run_id": VALIDATION.run_id, "suite": "squares"}
    assert found.lineage["recipe"]["detector"] == {"shrinkage": 0.01}
    assert found.notes == ("The model's own files are lost: known from the version's tags.",)


def test_a_recipe_that_a_tag_could_not_hold_is_empty_and_not_wrong(settled):
    recipe = json.dumps({"name": "squares" * 1000})[:5000]
    with damaged(package_of() / "lineage.json", b""), tagged(recipe=recipe):
        assert known().lineage["recipe"] == {}


def test_damaged_files_count_as_lost(settled):
    with damaged(package_of() / "lineage.json", b'{"data": {"name"'):
        assert read_json(registered(), "lineage.json") is None
        assert known().lineage["run_id"] == registered().run_id


def test_a_tag_that_says_otherwise_is_noted(settled):
    with tagged(data_digest="other.dir"):
        found = known()
    assert found.lineage["data"]["digest"] == "other.dir"
    assert found.notes == (
        f"data.digest is other.dir in one place and {settled.clips.digest} in another.",
    )


def test_a_run_that_is_gone_is_none(settled):
    assert get_run(mlflow_store.client(), "0" * 32) is None
    assert get_run(mlflow_store.client(), None) is None


def test_a_store_that_does_not_answer_has_lost_nothing(settled, monkeypatch):
    version = registered()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    nobody = MlflowClient("http://127.0.0.1:9")
    for ask in (
        lambda: get_run(nobody, "0" * 32),
        lambda: model_versions.model(nobody, "squares"),
        lambda: model_versions.version(nobody, "squares", 1),
        lambda: model_versions.versions(nobody, "squares"),
    ):
        with pytest.raises(RegistryError, match=r"The registry must answer, got: .*Nothing was"):
            ask()
    before = mlflow.get_tracking_uri()
    try:
        mlflow.set_tracking_uri("http://127.0.0.1:9")
        with pytest.raises(RegistryError, match="The registry must answer"):
            read_json(version, "lineage.json")
    finally:
        mlflow.set_tracking_uri(before)


def test_a_lineage_that_a_newer_version_wrote_is_refused(settled):
    version = registered()
    with (
        damaged(package_of() / "lineage.json", b'{"format": 99}'),
        pytest.raises(RegistryError, match=r"lineage\.json .* a newer version of unseen wrote it"),
    ):
        gather(mlflow_store.client(), version)
