from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tasks.lineage import compare_models, reproduction, reproductions
from tasks.lineage.compare_models import Tolerance
from tasks.lineage.training_record import Material, Recorded
from tasks.packaging import package
from tasks.platform import workspace
from tasks.records import Report
from tasks.registry import mlflow_store
from tests.tasks.conftest import VERSION
from tests.tasks.deployed import package_of

METRICS = {"frame_auc": 0.875}


@pytest.fixture
def then(settled):
    folder = package_of()
    material = Material(version=VERSION, files=())
    return Recorded(
        name="squares",
        version=1,
        digest=package.digest(package.verify(folder)),
        folder=folder,
        lineage={"code_version": workspace.code_version()},
        metrics=METRICS,
        environment=mlflow_store.hardware(),
        data=material,
        pretext=material,
    )


def compare(then, metrics=METRICS, **options):
    report = Report(run_id="1" * 32, data_digest="d", metrics=metrics)
    return reproduction.compare(then, then.folder, report, Tolerance(), **options)


def test_the_same_in_the_same_environment_needs_no_note(then):
    found = compare(then)
    assert (found.verdict, found.notes) == (compare_models.IDENTICAL, ())
    assert compare(then, {"frame_auc": 0.5}).verdict == compare_models.DIFFERS


def test_another_environment_another_code_and_what_was_not_recorded_are_told(then):
    environment = {**then.environment, "version.torch": "1.0", "hardware.cores": "99"}
    del environment["version.numpy"]
    other = replace(then, environment=environment, lineage={"code_version": "abc"})
    notes = " ".join(compare(other, unrecorded=("detector.change",)).notes)
    assert f"version.torch 1.0 -> {torch.__version__}" in notes
    assert "hardware.cores" not in notes
    assert "Not recorded at the time: version.numpy." in notes
    assert "two versions of the code: sources abc then" in notes
    assert "models is unchanged" in notes
    assert "have their defaults: detector.change" in notes


def test_a_report_is_kept_as_a_run_that_is_found_by_the_models_digest(then):
    client = mlflow_store.client()
    first, second = (reproduction.log(compare(then, {"frame_auc": v})) for v in (0.875, 0.1))
    found = reproductions.find(client, "squares", then.digest)
    assert [each.run_id for each in found] == [second.run_id, first.run_id]
    assert [each.verdict for each in found] == [compare_models.DIFFERS, compare_models.IDENTICAL]
    path = client.download_artifacts(first.run_id, reproduction.REPORT)
    assert '"verdict": "identical"' in Path(path).read_text()
    assert reproductions.find(client, "squares", "") == ()
    assert reproductions.find(client, "circles", then.digest) == ()


def test_it_computes_with_the_recorded_number_of_threads_and_not_for_longer():
    before = torch.get_num_threads()
    for environment, expected in (({"hardware.threads": "3"}, 3), ({}, before)):
        with reproduction.threads_of(environment):
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == before
