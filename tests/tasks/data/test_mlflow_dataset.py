import json

import mlflow

from tasks.data import mlflow_dataset
from tasks.registry import mlflow_store
from tests.tasks.conftest import VERSION


def test_the_data_version_is_an_input_of_the_run_and_comes_back_whole(repository):
    with mlflow_store.run("fit", "squares", tags={}, params={}) as active:
        mlflow_dataset.log_input(VERSION, "training")
    inputs = mlflow_store.client().get_run(active.info.run_id).inputs.dataset_inputs
    assert len(inputs) == 1
    dataset, tags = inputs[0].dataset, {tag.key: tag.value for tag in inputs[0].tags}
    assert (dataset.name, dataset.digest) == ("squares", VERSION.digest)
    assert dataset.source_type == "dvc"
    assert tags["mlflow.data.context"] == "training"
    source = mlflow.data.get_source(inputs[0])
    assert isinstance(source, mlflow_dataset.DvcSource)
    assert source.version == VERSION
    assert json.loads(dataset.source)["dvc_md5"] == VERSION.dvc_md5


def test_runs_are_found_by_the_data_they_saw(repository):
    with mlflow_store.run("fit", "squares", tags={}, params={}) as active:
        mlflow_dataset.log_input(VERSION, "training")
    with mlflow_store.run("fit", "squares", tags={}, params={}):
        pass
    found = mlflow.search_runs(
        experiment_names=["squares"], filter_string=f"dataset.digest = '{VERSION.digest}'"
    )
    assert found.run_id.tolist() == [active.info.run_id]
