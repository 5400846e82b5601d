"""A tiny project is backed up; what must not be in a backup, or stop it, is tried."""

import pytest

from models.errors import DataError, RegistryError
from tasks.data import dvc_cache
from tasks.housekeeping.backup import backup
from tasks.platform import workspace
from tasks.registry import mlflow_store
from tests.tasks.deployed import damaged, package_of


def test_a_backup_holds_every_version_every_object_and_nothing_half_written(settled, tmp_path):
    made = backup(tmp_path / "backup")
    assert made.models == {"squares": 1}
    here = {path.name for path in dvc_cache.cache_folder().rglob("*") if path.is_file()}
    there = {path.name for path in (tmp_path / "backup" / "dvc").rglob("*") if path.is_file()}
    assert there == here
    assert made.num_objects == len(here)
    assert {path.name for path in (tmp_path / "backup").iterdir()} == {
        "artifacts",
        "backup.json",
        "dvc",
        "files",
        "mlflow.db",
        "repository.bundle",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


def test_data_that_a_remote_has_can_be_left_out(settled, tmp_path):
    assert backup(tmp_path / "backup", data=False).num_objects == 0
    assert not (tmp_path / "backup" / "dvc").exists()


def test_a_folder_that_exists_is_left_alone(settled, tmp_path):
    with pytest.raises(RegistryError, match="needs a new folder"):
        backup(tmp_path)


def test_a_corrupt_object_stops_it_and_nothing_is_left(settled, tmp_path):
    path = next(dvc_cache.cache_folder().glob("??/*"))
    with damaged(path), pytest.raises(DataError, match=r"corrupt\. Delete"):
        backup(tmp_path / "backup")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_model_stops_it_and_nothing_is_left(settled, tmp_path):
    with (
        damaged(package_of() / "lineage.json"),
        pytest.raises(RegistryError, match=r"changed, missing or added: lineage\.json"),
    ):
        backup(tmp_path / "backup")
    assert list(tmp_path.iterdir()) == []


def test_a_store_elsewhere_is_left_to_its_own_tools(settled, tmp_path, monkeypatch):
    monkeypatch.setattr(mlflow_store, "client", lambda: type("C", (), {"tracking_uri": "http://x"}))
    with pytest.raises(RegistryError, match="its artifact store by their own tools"):
        backup(tmp_path / "backup")
    assert not list(workspace.home().glob("*.partial*"))
