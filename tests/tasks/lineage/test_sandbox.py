import os
from pathlib import Path

import mlflow
import pytest

from models.errors import DataError
from tasks.data import dvc_cache, versions
from tasks.lineage import sandbox
from tasks.lineage.training_record import Material
from tasks.platform import files
from tasks.registry import mlflow_store
from tests.tasks.pictures import write_stills


@pytest.fixture
def material(repository):
    write_stills(repository / "data" / "stills")
    version = versions.add("stills")
    return Material(version=version, files=versions.entries(version))


def test_what_is_done_in_isolation_stays_there(repository, material):
    before = (Path.cwd(), os.environ["MLFLOW_TRACKING_URI"])
    cached = sorted(dvc_cache.cache_folder().rglob("*"))
    with files.scratch("trial") as folder:
        sandbox.fetch(material, folder)
        with sandbox.isolated(folder / "project"):
            assert Path.cwd() == folder / "project"
            version = sandbox.bring_in(material, folder)
            assert (version.digest, version.name) == (material.version.digest, "stills")
            assert versions.entries(version) == material.files
            with mlflow_store.run("fit", "stills", tags={}, params={}):
                mlflow.log_metric("m", 1.0)
            assert str(dvc_cache.cache_folder()).startswith(str(folder))
    assert (Path.cwd(), os.environ["MLFLOW_TRACKING_URI"]) == before
    assert mlflow_store.client().get_experiment_by_name("stills") is None
    assert sorted(dvc_cache.cache_folder().rglob("*")) == cached
    assert not list((repository / ".unseen" / files.SCRATCH).iterdir())


def test_after_a_failure_everything_is_as_before(repository):
    mlflow_store.client()
    before = (Path.cwd(), os.environ["MLFLOW_TRACKING_URI"], mlflow.get_tracking_uri())
    with (
        pytest.raises(ZeroDivisionError),
        files.scratch("trial") as folder,
        sandbox.isolated(folder / "project"),
    ):
        raise ZeroDivisionError
    assert (Path.cwd(), os.environ["MLFLOW_TRACKING_URI"], mlflow.get_tracking_uri()) == before
    assert not folder.exists()


def test_bytes_that_change_between_reading_and_using_are_noticed(repository, material):
    with files.scratch("trial") as folder:
        sandbox.fetch(material, folder)
        (folder / material.version.digest / material.files[0].relpath).write_bytes(b"other")
        with sandbox.isolated(folder / "project"), pytest.raises(DataError, match="and 1 did"):
            sandbox.bring_in(material, folder)
