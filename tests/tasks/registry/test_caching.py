"""What is computed again and what is not: keys of real steps under real edits, and real results."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect import flow
from prefect.filesystems import LocalFileSystem
from prefect.results import ResultStore

from models.errors import RegistryError
from tasks.records import DataVersion, TrainedModel
from tasks.registry import caching, mlflow_store
from tasks.registry.caching import Key, remembered

ROOT = Path(__file__).parents[3]
VERSION = DataVersion(
    name="a", digest="d", dvc_md5="m", git_commit="c", remote=None, num_files=1, num_bytes=1
)
ALL = {"validate", "pretrain", "fit", "evaluate", "sample"}
NONE: set[str] = set()
EDITS = {
    "models/one_class/knn.py": {"fit"},
    "models/encoders/slim.py": {"pretrain", "fit"},
    "models/pretext/jigsaw.py": {"pretrain"},
    "models/metrics/intervals.py": {"evaluate"},
    "models/one_class/isolation_forest.py": NONE,
    "tasks/data/decoding.py": ALL,
    "tasks/data/suite.py": {"validate"},
    "tasks/training/batches.py": {"pretrain", "fit", "sample"},
    "tasks/training/normal_windows.py": {"fit"},
    "tasks/evaluation/plots.py": {"evaluate"},
    "tasks/console/overview.py": NONE,
    "tasks/housekeeping/prune.py": NONE,
    "tasks/lineage/trace.py": NONE,
    "tasks/platform/workspace.py": NONE,
    "tasks/registry/promote.py": NONE,
    "tasks/serving/serve.py": NONE,
    "flows/cli/main.py": NONE,
    "mine.py": {"fit"},
    "beside.py": {"fit"},
}
"""Files that get another line which every user of them needs, and the steps that run again."""
SETTINGS = {
    "promotion.margin=0.2": NONE,
    "expectations.tolerated_share=0.5": {"validate"},
    "detector.num_neighbours=2": {"fit"},
    "pretext.epochs=3": {"pretrain"},
    "encoder.width=8": {"pretrain"},
    "training.seed=3": {"pretrain", "fit"},
    "training.batch_size=3": {"pretrain", "fit"},
    "training.smoothing=3": {"fit"},
    "training.devices=2": {"pretrain"},
    "name='other'": {"validate", "pretrain", "fit"},
}
LIBRARIES = {"torch": ALL, "torchvision": ALL, "timm": ALL, "numpy": ALL, "scikit-learn": ALL} | {
    "opencv-contrib-python-headless": ALL,
    "mlflow": NONE,
    "prefect": NONE,
    "pandas": NONE,
}
SCRIPT = Path(__file__).with_name("keys_under_edits.py")
RECIPE = '''
from beside import FACTOR
from flows.recipes import Recipe
from models.encoders.slim import SlimTrunk
from models.one_class.knn import NearestNeighbours
from models.pretext.jigsaw import Jigsaw
from tasks.records import Training
import dataclasses


class Mine(NearestNeighbours):
    """A detector of a user's own."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config(NearestNeighbours.Config):
        def build(self, encoder):
            return Mine(self, encoder)

    def fit(self, *args, **kwargs):
        super().fit(*args, **kwargs)
        self.factor = FACTOR


def mine() -> Recipe:
    return Recipe(
        name="mine",
        dataset="mine",
        training=Training(window=6),
        encoder=SlimTrunk.Config(),
        pretext=Jigsaw.Config(),
        detector=Mine.Config(),
    )
'''


@pytest.fixture(scope="module")
def again(tmp_path_factory, empty_store):
    """Steps whose key is another one after each edit, setting or library of the tables above."""
    top = tmp_path_factory.mktemp("copy")
    for name in ("flows", "models", "tasks"):
        shutil.copytree(ROOT / name, top / name, ignore=shutil.ignore_patterns("__pycache__"))
    (top / "mine.py").write_text(RECIPE)
    (top / "beside.py").write_text("FACTOR = 2\n")
    subprocess.run(["git", "init", "-q", top], check=True)
    for name in ("mlflow.db", "other.db"):
        shutil.copyfile(empty_store, top / name)
    wanted = {"edits": list(EDITS), "settings": list(SETTINGS), "libraries": list(LIBRARIES)}
    done = subprocess.run(
        [sys.executable, SCRIPT, json.dumps(wanted)],
        cwd=top,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(top), "HOME": str(top)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


TABLE = {**EDITS, **SETTINGS, **LIBRARIES, "other data": ALL, "other store": NONE}


@pytest.mark.parametrize(("what", "steps"), TABLE.items(), ids=TABLE)
def test_a_step_runs_again_for_its_own_reasons_alone(again, what, steps):
    assert set(again[what]) == steps


def step(version: DataVersion, seed: int = 0) -> TrainedModel:
    raise AssertionError("It is not run.")


@pytest.fixture
def store(tmp_path, monkeypatch, empty_store):
    """A repository with an MLflow store; the result store of Prefect."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return ResultStore(result_storage=LocalFileSystem(basepath=str(tmp_path / "results")))


def finished():
    with mlflow_store.run("fit", "model", tags={}, params={}) as active:
        return TrainedModel(run_id=active.info.run_id, model_uri="", data_digest="d")


def test_a_result_counts_only_while_its_run_is_there(store):
    with mlflow_store.run("fit", "model", tags={}, params={}) as active:
        record = TrainedModel(run_id=active.info.run_id, model_uri="", data_digest="d")
        assert not caching.is_alive(record)
    assert caching.is_alive(record)
    mlflow_store.client().delete_run(record.run_id)
    assert not caching.is_alive(record)
    assert not caching.is_alive(dataclasses.replace(record, run_id="0" * 32))
    assert not caching.is_alive("not a record")


@pytest.mark.parametrize("written", [b"", b'{"metadata": {"storage_key": "st', b'"a record"'])
def test_a_result_that_was_written_halfway_is_computed_anew(store, tmp_path, written):
    known = Key(step)
    key = known.parts({"version": VERSION})
    first, found = known.find(key, store)
    assert found is None
    store.write(key=first, obj=finished())
    assert known.find(key, store)[1] is not None
    (tmp_path / "results" / first).write_bytes(written)
    fresh = ResultStore(result_storage=store.result_storage)
    assert known.find(key, fresh) == (first, None)


def test_a_result_that_is_no_record_is_left_for_the_next_generation(store):
    known = Key(step)
    key = known.parts({"version": VERSION})
    first, _ = known.find(key, store)
    store.write(key=first, obj="nonsense")
    second, found = known.find(key, store)
    assert (second != first, found) == (True, None)


def test_where_the_store_does_not_answer_nothing_is_computed(store, tmp_path):
    context = SimpleNamespace(task_run=SimpleNamespace(id=uuid4()), result_store=store)
    known = Key(step)
    first, _ = known.find(known.parts({"version": VERSION}), store)
    store.write(key=first, obj=finished())
    assert known(context, {"version": VERSION}) == first
    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 1000)
    assert known(context, {"version": VERSION}) is None
    assert isinstance(known.failed[context.task_run.id], RegistryError)


def test_a_task_stops_rather_than_compute_what_may_be_there(orchestrated, store, tmp_path):
    computed = []

    @remembered("count {version}")
    def count(version: DataVersion) -> TrainedModel:
        computed.append(version)
        return finished()

    @flow
    def twice() -> TrainedModel:
        count(VERSION)
        return count(VERSION)

    from prefect.settings import PREFECT_API_URL, PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    where = {PREFECT_API_URL: orchestrated[1], PREFECT_LOCAL_STORAGE_PATH: tmp_path / "results"}
    with temporary_settings(where):
        twice()
        assert len(computed) == 1
        with caching.refreshed(wanted=True):
            twice()
        assert len(computed) == 3
        (tmp_path / "mlflow.db").write_bytes(b"not a database" * 1000)
        with pytest.raises(RegistryError, match="must answer"):
            twice()
        assert len(computed) == 3
