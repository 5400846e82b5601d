import mlflow
import numpy as np
import pytest
from PIL import Image

from models.errors import NotFoundError
from tasks.console import data
from tasks.data.ingest import ingest
from tasks.registry import lineage_record, mlflow_store


def validated(version, failed=0):
    tags = lineage_record.data_tags(version)
    with mlflow_store.run("validate", "squares", tags=tags, params={}) as active:
        mlflow.log_metrics({"num_failed": failed, "num_critical": 0})
    return active.info.run_id


def test_data_versions_are_told_with_validations_users_and_changes(clips, tmp_path):
    source, client = tmp_path / "source", mlflow_store.client()
    first = validated(clips, failed=2)
    again = validated(clips)
    Image.fromarray(np.zeros((16, 24), np.uint8)).save(source / "train/good/01/008.png")
    (source / "test/cart/01/000.png").unlink()
    newer = ingest.fn("squares", source)
    client.create_registered_model("squares")
    tags = {f"unseen.{key}": value for key, value in lineage_record.data_tags(clips).items()}
    client.create_model_version("squares", source="s3://bucket/model", tags=tags)
    client.set_registered_model_alias("squares", "champion", "1")

    now, before = data.known(client)
    assert (now.digest, now.current, now.num_files) == (newer.digest, True, 32)
    assert now.num_bytes == newer.num_bytes
    assert (now.validations, now.used_by) == ((), ())
    assert (before.digest, before.current) == (clips.digest, False)
    assert [each.run_id for each in before.validations] == [again, first]
    assert [each.failed for each in before.validations] == [0, 2]
    assert before.validations[0].model == "squares"
    assert before.used_by == (data.Use(model="squares", version=1, serves=True),)

    found = data.changes(client, "squares", clips.digest, newer.digest)
    assert (found.added, found.removed, found.changed) == (1, 1, 0)
    assert found.examples["added"] == ("train/good/01/008.png",)
    with pytest.raises(NotFoundError, match="no data version 'x' of 'squares'"):
        data.changes(client, "squares", "x", newer.digest)


def test_results_are_those_of_validation_runs_alone(repository):
    client = mlflow_store.client()
    with mlflow_store.run("validate", "squares", tags={}, params={}) as active:
        mlflow.log_text("<h1>Results</h1>", "validation/data_docs/validations/a/b.html")
    run_id = active.info.run_id
    with pytest.raises(NotFoundError, match=r"must hold validation/result\.json"):
        data.validation_result(client, run_id)
    assert data.first_page(run_id) == "validations/a/b.html"
    with mlflow_store.run("fit", "squares", tags={}, params={}) as active:
        pass
    with pytest.raises(NotFoundError, match="is no validation run"):
        data.validation_result(client, active.info.run_id)
    with pytest.raises(NotFoundError, match="no validation run"):
        data.validation_result(client, "0" * 32)
    with pytest.raises(NotFoundError, match="no Data Docs"):
        data.first_page("0" * 32)


def test_without_data_nothing_is_known(repository):
    assert data.known(mlflow_store.client()) == []
