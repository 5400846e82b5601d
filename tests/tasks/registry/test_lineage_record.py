import json

import pytest
import torch

from tasks.packaging import formats
from tasks.records import Report
from tasks.registry import lineage_record
from tests.tasks.conftest import VALIDATION, VERSION


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
