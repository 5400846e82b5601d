import os
from pathlib import Path

import mlflow
import pytest

from models.errors import DataError
from tasks import isolation, objects, tracking, versions
from tasks.recorded import Material
from tests.tasks.pictures import write_stills


@pytest.fixture
def material(repository):
    write_stills(repository / "data" / "stills")
    version = versions.add("stills")
    return Material(version=version, files=versions.entries(version))


def test_what_is_done_in_isolation_stays_there(repository, material):
    before = (Path.cwd(), os.environ["MLFLOW_TRACKING_URI"])
    cached = sorted(objects.cache_folder().rglob("*"))
    with isolation.scratch("trial") as folder:
        isolation.fetch(material, folder)
        with isolation.isolated(folder / "project"):
            assert Path.cwd() == folder / "project"
            version = isolation.bring_in(material, folder)
            assert (version.digest, version.name) == (material.version.digest, "stills")
            assert versions.entries(version) == material.files
            with tracking.run("fit", "stills", tags={}, params={}):
                mlflow.log_metric("m", 1.0)
            assert str(objects.cache_folder()).startswith(str(folder))
    assert (Path.cwd(), os.environ["MLFLOW_TRACKING_URI"]) == before
    assert tracking.client().get_experiment_by_name("stills") is None
    assert sorted(objects.cache_folder().rglob("*")) == cached
    assert not list((repository / ".unseen" / isolation.FOLDER).iterdir())


def test_after_a_failure_everything_is_as_before(repository):
    tracking.client()
    before = (Path.cwd(), os.environ["MLFLOW_TRACKING_URI"], mlflow.get_tracking_uri())
    with (
        pytest.raises(ZeroDivisionError),
        isolation.scratch("trial") as folder,
        isolation.isolated(folder / "project"),
    ):
        raise ZeroDivisionError
    assert (Path.cwd(), os.environ["MLFLOW_TRACKING_URI"], mlflow.get_tracking_uri()) == before
    assert not folder.exists()


def test_bytes_that_change_between_reading_and_using_are_noticed(repository, material):
    with isolation.scratch("trial") as folder:
        isolation.fetch(material, folder)
        (folder / material.version.digest / material.files[0].relpath).write_bytes(b"other")
        with isolation.isolated(folder / "project"), pytest.raises(DataError, match="and 1 did"):
            isolation.bring_in(material, folder)
