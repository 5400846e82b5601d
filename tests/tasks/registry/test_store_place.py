"""The workplace is moved and copied; the real MLflow reads and writes its store."""

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow
import pytest

from tasks.platform import workspace
from tasks.registry import mlflow_store, store_place
from tests.conftest import make_repository


def local(uri):
    return Path(unquote(urlsplit(uri).path))


@pytest.fixture
def project(tmp_path, empty_store, monkeypatch):
    """A workplace with one run that has logged a file; and the way to go to another folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = mlflow.get_tracking_uri()

    def go(folder):
        monkeypatch.chdir(folder)
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        workspace.configure()
        return folder

    folder = make_repository(tmp_path / "here")
    (folder / ".unseen").mkdir()
    shutil.copyfile(empty_store, folder / ".unseen" / "mlflow.db")
    go(folder)
    with mlflow_store.run("fit", "squares", tags={}, params={}) as active:
        mlflow.log_text("kept", "notes.txt")
    yield folder, active.info.run_id, go
    mlflow.set_tracking_uri(before)


def read(run_id):
    return mlflow.artifacts.load_text(f"runs:/{run_id}/notes.txt")


@pytest.mark.parametrize("name", ["elsewhere", "with space", "Größe", "a+b&c=d"])
def test_a_moved_workplace_takes_its_store_along(project, tmp_path, caplog, name):
    folder, run_id, go = project
    go(folder.rename(tmp_path / name))
    mlflow_store.client()
    assert f"was in {folder}" in caplog.text
    assert read(run_id) == "kept"
    with mlflow_store.run("fit", "squares", tags={}, params={}) as active:
        mlflow.log_text("new", "notes.txt")
    assert local(active.info.artifact_uri).is_relative_to(tmp_path / name / ".unseen")
    assert read(active.info.run_id) == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    caplog.clear()
    mlflow_store.client()
    assert caplog.text == ""


def test_a_copy_writes_to_itself_and_not_to_the_original(project, tmp_path):
    folder, run_id, go = project
    copy = go(Path(shutil.copytree(folder, tmp_path / "copy")))
    with mlflow_store.run("fit", "squares", tags={}, params={}) as active:
        mlflow.log_text("new", "notes.txt")
    assert local(active.info.artifact_uri).is_relative_to(copy)
    assert read(run_id) == "kept"
    go(folder)
    mlflow_store.client()
    assert store_place.former_roots(folder / ".unseen" / "mlflow.db") == ()
    assert not local(active.info.artifact_uri).is_relative_to(folder)


def test_places_outside_of_the_workplace_are_left_alone(project, tmp_path):
    folder, _, go = project
    client = mlflow_store.client()
    client.create_experiment("theirs", artifact_location=(tmp_path / "theirs").as_uri())
    go(folder.rename(tmp_path / "there"))
    client = mlflow_store.client()
    assert (
        client.get_experiment_by_name("theirs").artifact_location == (tmp_path / "theirs").as_uri()
    )


def test_a_database_without_tables_has_no_former_place(project):
    folder, _, _ = project
    empty = folder / "empty.db"
    empty.touch()
    assert store_place.former_roots(empty) == ()


def test_the_command_line_finds_the_models_of_a_moved_workplace(project, tmp_path):
    folder, _, _ = project
    mlflow_store.client().create_registered_model("squares")
    moved = folder.rename(tmp_path / "moved")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    done = subprocess.run(
        [os.sys.executable, "-m", "flows.cli", "models"],
        cwd=moved,
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "squares" in done.stdout
