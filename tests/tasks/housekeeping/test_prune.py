"""A project with old things that are needed and old things that are not."""

import json
import shutil
import subprocess
import time
from types import SimpleNamespace

import mlflow
import pytest
from PIL import Image

from models.errors import DataError, InvalidInputError, RegistryError
from tasks.data import dvc_cache, versions
from tasks.data.ingest import ingest
from tasks.housekeeping.prune import prune
from tasks.lineage.restore_data import restore
from tasks.lineage.trace import trace
from tasks.registry import mlflow_store, model_versions, version_facts
from tasks.registry.decisions import rollback
from tasks.registry.tags import MODEL_DIGEST, MOMENTS_BASIS

LATER = 100 * 86400


@pytest.fixture(autouse=True)
def no_prefect_server(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_PROFILE", "none-of-the-users")


def ingest_with(folder, shade):
    """A version of the data that has one more picture than ``folder``, which is as before then."""
    path = folder / "test" / "good" / "01" / "099.png"
    Image.new("L", (24, 16), shade).save(path)
    version = ingest.fn("squares", folder)
    path.unlink()
    return version


def git(*arguments):
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def logged(kind, **tags):
    with mlflow_store.run(kind, "squares", tags=tags, params={}) as active:
        mlflow.log_text("x" * 1000, "notes.txt")
    return active.info.run_id


@pytest.fixture
def project(settled, tmp_path):
    """Version 1 is champion; everything else in it has a reason to stay or to go."""
    copy = shutil.copytree(settled.source, tmp_path / "source")
    made = SimpleNamespace(folder=settled.folder)
    made.branch = ingest_with(copy, 10)
    git("checkout", "-q", "-B", "kept")
    git("add", "data.dvc")
    git("commit", "-qm", "Another version")
    git("checkout", "-q", "-")
    made.unused = ingest_with(copy, 20)
    made.current = ingest_with(copy, 30)
    made.alone = logged("fit")
    made.failed = logged("pretrain")
    mlflow_store.client().set_terminated(made.failed, "FAILED")
    made.held = logged("fit")
    version = model_versions.resolve(mlflow_store.client(), "squares", 1)
    with mlflow.start_run(run_id=version.run_id):
        mlflow.set_tag(MOMENTS_BASIS, "b")
        mlflow.log_dict({"clips": {"a": {"held_by": made.held}}}, "statistics/clips.json")
    made.report = logged("reproduce", model_digest=version.tags[MODEL_DIGEST])
    with mlflow.start_run(experiment_id="0") as foreign:
        made.foreign = foreign.info.run_id
    storage = settled.folder / ".unseen" / "prefect" / "storage"
    storage.mkdir(parents=True, exist_ok=True)
    (storage / "fit-1").write_text(json.dumps({"run_id": version.run_id}))
    (storage / "fit-2").write_text(json.dumps({"run_id": made.alone}))
    made.storage = storage
    made.scratch = settled.folder / ".unseen" / "scratch" / "reproduce-1"
    made.scratch.mkdir(parents=True, exist_ok=True)
    (made.scratch / "left.bin").write_bytes(b"0" * 500)
    return made


def files():
    return {path for path in dvc_cache.cache_folder().rglob("*") if path.is_file()}


def told(found):
    return {kind.title: [each.name for each in kind.stale] for kind in found.kinds}


def own_objects(version):
    """Objects of a version that no other one has, besides the list of the set alone."""
    last = next(e for e in versions.entries(version) if e.relpath.endswith("099.png"))
    return {version.dvc_md5, last.md5}


def test_what_nobody_refers_to_goes_and_every_registered_version_still_works(
    project, settled, tmp_path
):
    before = files()
    young = prune(90, delete=True)
    assert not any(kind.stale for kind in young.kinds)
    assert files() == before
    added = {each.digest for each in (project.branch, project.unused, project.current)}
    unused = own_objects(project.unused) | added  # DVC also writes down the list of what it added

    looked = prune(90, delete=False, now=time.time() + LATER)
    expected = {
        "remembered results": ["prefect/storage/fit-2"],
        "MLflow runs": sorted([f"fit {project.alone}", f"pretrain {project.failed}"]),
        "Prefect flow runs": [],
        "scratch files": ["scratch/reproduce-1"],
        "DVC objects": sorted(unused),
    }
    assert {title: sorted(names) for title, names in told(looked).items()} == expected
    kinds = {kind.title: kind for kind in looked.kinds}
    assert kinds["scratch files"].num_bytes == 500
    assert kinds["MLflow runs"].num_bytes >= 2000
    assert kinds["MLflow runs"].kept["squares 1"] >= 3
    assert kinds["MLflow runs"].kept["about squares 1"] == 1
    assert kinds["DVC objects"].kept["squares 1"] == 34
    assert kinds["DVC objects"].kept["branches and tags of git"] == 34
    assert files() == before
    assert version_facts.get_run(mlflow_store.client(), project.alone) is not None

    done = prune(90, delete=True, now=time.time() + LATER)
    assert told(done) == told(looked)
    assert {path.parent.name + path.name for path in before - files()} == unused
    client = mlflow_store.client()
    for run_id in (project.alone, project.failed):
        assert version_facts.get_run(client, run_id) is None
    for run_id in (project.held, project.report, project.foreign):
        assert client.get_run(run_id).info.lifecycle_stage == "active"
    assert [path.name for path in project.storage.iterdir()] == ["fit-1"]
    assert not list(project.scratch.parent.iterdir())

    again = prune(90, delete=True, now=time.time() + LATER)
    assert not any(kind.stale for kind in again.kinds)
    assert trace("squares").notes == ()
    assert trace("squares").data.missing == 0
    restore("squares", tmp_path / "restored")
    for version in (project.branch, project.current):
        assert dvc_cache.missing(each.md5 for each in versions.entries(version)) == ()


def test_a_git_that_refuses_takes_nothing_away(project, monkeypatch):
    before = files()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(DataError, match="dubious ownership"):
        prune(90, delete=True, now=time.time() + LATER)
    assert files() == before
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER")
    prune(90, delete=True, now=time.time() + LATER)
    assert dvc_cache.missing(each.md5 for each in versions.entries(project.branch)) == ()


def test_it_refuses_while_something_is_trained(settled):
    with (
        mlflow_store.run("fit", "squares", tags={}, params={}) as active,
        pytest.raises(RegistryError, match=rf"MLflow run {active.info.run_id} is under way"),
    ):
        prune(90, delete=True)
    assert prune(90, delete=False).deleted is False


def test_a_rollback_after_a_pruning_still_works(settled):
    settled.deploy(seed=1)
    prune(1, delete=True, now=time.time() + LATER)
    assert rollback("squares", "as rehearsed").champion == 1


def test_a_cache_that_others_may_use_is_left_alone(settled, tmp_path, monkeypatch):
    monkeypatch.setattr(dvc_cache, "cache_folder", lambda: tmp_path)
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / ("c" * 30)).write_bytes(b"theirs")
    found = prune(1, delete=True, now=time.time() + LATER)
    assert any("others may use it" in note for note in found.notes)
    assert (tmp_path / "ab" / ("c" * 30)).exists()


def test_what_is_younger_than_a_day_is_never_asked_for(settled):
    with pytest.raises(InvalidInputError, match="keep_days must be at least 1, got 0"):
        prune(0, delete=True)


def test_a_lost_package_keeps_what_the_tags_refer_to(settled):
    version = model_versions.resolve(mlflow_store.client(), "squares", 1)
    folder = model_versions.folder(version.source)
    away = folder.rename(folder.with_name("away"))
    try:
        found = prune(1, delete=False, now=time.time() + LATER)
    finally:
        away.rename(folder)
    assert any("files of squares 1 are lost" in note for note in found.notes)
    assert version.run_id not in str(told(found)["MLflow runs"])
    listed = {each.md5 for each in versions.entries(settled.clips)}
    assert not listed & set(told(found)["DVC objects"])
