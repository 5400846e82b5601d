"""As docs/guides/backups.md says: back up, lose everything, clone, restore, and go on."""

import json
import subprocess

import mlflow
import pytest

from models.errors import DataError, NotFoundError, RegistryError
from tasks.feedback import judgements
from tasks.feedback.judgements import Judgement
from tasks.housekeeping.backup import backup
from tasks.housekeeping.restore_backup import restore_backup
from tasks.lineage.restore_data import restore
from tasks.lineage.trace import trace
from tasks.registry import mlflow_store, model_versions
from tasks.registry.decisions import rollback
from tasks.serving import champion
from tests.tasks.deployed import damaged
from tests.tasks.lineage.test_restore_data import files_of

SAID = Judgement(
    picture="a" * 64,
    prediction="r-1",
    files=("a" * 64,),
    version=2,
    verdict="normal",
    who="Ada",
    when="2026-11-29T10:00:00.000+00:00",
)


@pytest.fixture(scope="module")
def saved(settled, tmp_path_factory):
    """A backup of two versions, of which the second serves."""
    settled.deploy(seed=1)
    judgements.append("squares", SAID)
    folder = tmp_path_factory.mktemp("saved") / "backup"
    backup(folder)
    return folder


@pytest.fixture
def clone(saved, tmp_path, monkeypatch):
    """The repository as git knows it, in another place; the working directory."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", saved / "repository.bundle", folder], check=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/.unseen/mlflow.db")
    before = mlflow.get_tracking_uri()
    yield folder
    mlflow.set_tracking_uri(before)


def test_after_the_loss_of_everything_a_restored_project_goes_on(
    settled, saved, clone, monkeypatch, tmp_path
):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    gone = settled.folder.rename(settled.folder.with_name("gone"))
    try:
        assert restore_backup(saved).models == {"squares": 2}
        assert judgements.read("squares") == (SAID,)
        found = trace("squares")
        assert (found.model.version, found.notes) == (2, ())
        assert (found.data.available, found.data.missing) == (32, 0)
        assert found.data.version == settled.clips
        serving = model_versions.resolve(mlflow_store.client(), "squares", "champion")
        assert champion.deploy(serving).packaged.digest == found.model.digest
        restore("squares", tmp_path / "bytes")
        assert files_of(tmp_path / "bytes") == files_of(settled.source)
        assert rollback("squares", "as rehearsed").champion == 1
        assert trace("squares").model.version == 1
        run = mlflow_store.client().get_run(found.run.run_id)
        assert run.info.artifact_uri.startswith(clone.as_uri())
    finally:
        gone.rename(settled.folder)


def test_a_project_that_has_a_store_is_left_alone(saved, clone):
    (clone / ".unseen").mkdir()
    (clone / ".unseen" / "mlflow.db").write_bytes(b"mine")
    with pytest.raises(RegistryError, match="restored where no store is"):
        restore_backup(saved)
    assert (clone / ".unseen" / "mlflow.db").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["mlflow.db", "repository.bundle"])
def test_a_changed_backup_is_refused_before_anything_is_written(saved, clone, name):
    with damaged(saved / name), pytest.raises(RegistryError, match=rf"missing or added: {name}"):
        restore_backup(saved)
    assert not (clone / ".unseen" / "mlflow.db").exists()
    assert not (clone / ".dvc").exists()


def test_a_corrupt_object_is_named_and_the_restore_can_be_repeated(saved, clone):
    path = max((saved / "dvc").glob("??/*"))
    with damaged(path), pytest.raises(DataError, match="An object of the backup must have md5"):
        restore_backup(saved)
    assert not (clone / ".unseen" / "mlflow.db").exists()
    restore_backup(saved)
    assert model_versions.load(model_versions.resolve(mlflow_store.client(), "squares", 1))


def test_a_newer_format_and_a_folder_without_backup_are_refused(saved, clone, tmp_path):
    content = saved / "backup.json"
    newer = json.dumps({**json.loads(content.read_text()), "format": 99}).encode()
    with damaged(content, newer), pytest.raises(RegistryError, match="newer version of unseen"):
        restore_backup(saved)
    with pytest.raises(NotFoundError, match="There must be a backup"):
        restore_backup(tmp_path)
