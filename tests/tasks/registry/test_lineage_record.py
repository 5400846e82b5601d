import json

import mlflow
import pytest
import torch

from tasks.packaging import formats
from tasks.records import Report
from tasks.registry import lineage_record, mlflow_store
from tests.tasks.conftest import VALIDATION, VERSION


def test_the_data_version_is_an_input_of_the_run_and_comes_back_whole(repository):
    with mlflow_store.run("fit", "squares", tags={}, params={}) as active:
        lineage_record.log_input(VERSION, "training")
    inputs = mlflow_store.client().get_run(active.info.run_id).inputs.dataset_inputs
    assert len(inputs) == 1
    dataset, tags = inputs[0].dataset, {tag.key: tag.value for tag in inputs[0].tags}
    assert (dataset.name, dataset.digest) == ("squares", VERSION.digest)
    assert dataset.source_type == "dvc"
    assert tags["mlflow.data.context"] == "training"
    source = mlflow.data.get_source(inputs[0])
    assert isinstance(source, lineage_record.DvcSource)
    assert source.version == VERSION
    assert json.loads(dataset.source)["dvc_md5"] == VERSION.dvc_md5


def test_runs_are_found_by_the_data_they_saw(repository):
    with mlflow_store.run("fit", "squares", tags={}, params={}) as active:
        lineage_record.log_input(VERSION, "training")
    with mlflow_store.run("fit", "squares", tags={}, params={}):
        pass
    found = mlflow.search_runs(
        experiment_names=["squares"], filter_string=f"dataset.digest = '{VERSION.digest}'"
    )
    assert found.run_id.tolist() == [active.info.run_id]


def described(**changes):
    given = {
        "version": VERSION,
        "validation": VALIDATION,
        "pretext": None,
        "recipe": {"name": "squares"},
        "seed": 3,
        "run_id": "5" * 32,
        "device": "cpu",
    }
    return lineage_record.describe(**given | changes)


def test_the_description_is_json_and_names_the_code(repository):
    made = described()
    assert json.loads(json.dumps(made)) == {
        **made,
        "validation": {**made["validation"], "failed": []},
    }
    assert len(made["git_commit"].removesuffix("+dirty")) == 40
    assert made["code_version"]
    assert made["seed"] == 3
    assert made["format"] == formats.CURRENT["lineage.json"]
    assert made["environment"]["hardware.threads"] == str(torch.get_num_threads())
    assert made["environment"]["version.torch"] == torch.__version__


@pytest.mark.parametrize(
    ("pretext", "expected"),
    [
        (None, ("", "")),
        ({"run_id": "6" * 32, "data": {"digest": "7.dir"}}, ("6" * 32, "7.dir")),
    ],
)
def test_the_tags_tell_the_pretext_run_if_there_was_one(repository, pretext, expected):
    report = Report(run_id="5" * 32, data_digest=VERSION.digest, metrics={})
    tags = lineage_record.version_tags(described(pretext=pretext), "8" * 64, report)
    assert (tags["unseen.pretext_run_id"], tags["unseen.pretext_data_digest"]) == expected


def test_a_metric_in_a_tag_is_exact(repository):
    value = 0.1 + 0.2
    report = Report(run_id="5" * 32, data_digest=VERSION.digest, metrics={"frame_auc": value})
    tags = lineage_record.version_tags(described(), "8" * 64, report)
    assert float(tags["unseen.metric.frame_auc"]) == value


def test_the_tags_tell_the_intensity_of_the_training_images(repository):
    known = described()
    known["validation"]["statistics"] = {"train_mean_min": 0.25, "num_files": 9.0}
    report = Report(run_id="5" * 32, data_digest=VERSION.digest, metrics={})
    tags = lineage_record.version_tags(known, "8" * 64, report)
    assert float(tags["unseen.train_mean_min"]) == 0.25
    assert "unseen.num_files" not in tags


def test_a_long_difference_is_told_without_its_names(repository):
    report = Report(run_id="5" * 32, data_digest=VERSION.digest, metrics={})
    for number, named in ((3, True), (900, False)):
        names = [f"good/{clip:03}" for clip in range(number)]
        statistics = {"digest": "a" * 64, "added": names, "updates": 1}
        tags = lineage_record.version_tags(described(statistics=statistics), "d" * 64, report)
        told = json.loads(tags["unseen.statistics"])
        assert (told["digest"], told["updates"]) == ("a" * 64, 1)
        assert ("added" in told) is named
