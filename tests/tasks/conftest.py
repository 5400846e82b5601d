"""A repository and an MLflow store of a test's own, and detectors small enough to fit in it."""

import importlib
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient

from tasks.packaging.preprocessing import Preprocessing
from tasks.records import DataVersion, ModelVersion, Report, TrainedModel, Validation
from tests import projects
from tests.conftest import make_repository
from tests.tasks.deployed import clips, deploy_detector, served, settled  # noqa: F401
from tests.tasks.two_cameras import two_cameras  # noqa: F401

VERSION = DataVersion(
    name="squares",
    digest="0123456789abcdef0123456789abcdef.dir",
    dvc_md5="fedcba9876543210fedcba9876543210.dir",
    git_commit="1" * 40,
    remote=None,
    num_files=3,
    num_bytes=300,
)
VALIDATION = Validation(
    run_id="2" * 32, data_digest=VERSION.digest, suite="squares", num_expectations=9
)


@pytest.fixture
def tiny_detector(monkeypatch):
    """A user's own module with a detector, importable by name."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    module = importlib.import_module("tiny_detector")
    yield module
    sys.modules.pop("tiny_detector", None)


@pytest.fixture
def log_detector(repository, tiny_detector, tmp_path_factory):
    """Function that logs a fitted detector with a run of its own, as ``fit`` does.

    Unless ``loadable``, the MLflow model is the packaged detector and nothing else: quicker.
    """
    from tasks.packaging import package
    from tasks.registry import lineage_record, mlflow_store, model_versions
    from tasks.training.log_detector import log_model

    def log(name="squares", seed=0, version=VERSION, scores=None, *, loadable=False):
        torch.manual_seed(seed)
        detector = tiny_detector.Tiny.Config().build(tiny_detector.Pool.Config(channels=1).build())
        normal = [torch.rand(8, 1, 16, 24) / 4 for _ in range(2)]
        detector.fit(normal, normal)
        with mlflow_store.run("fit", name, tags={}, params={}) as active:
            run_id = active.info.run_id
            folder = tmp_path_factory.mktemp("detector") / model_versions.PACKAGE
            package.save(
                folder,
                detector,
                preprocessing=Preprocessing(),
                calibration_scores=np.linspace(0, 0.2, 20),
                lineage=lineage_record.describe(
                    version=version,
                    validation=VALIDATION,
                    pretext={"run_id": "3" * 32, "backbone": "pretext", "data": asdict(version)},
                    recipe={"name": name, "metric": "frame_auc", "training": {"seed": seed}},
                    seed=seed,
                    run_id=run_id,
                    device="cpu",
                ),
                files=[{"relpath": "train/good/000.png", "md5": "4" * 32}],
            )
            if scores is not None:
                mlflow.log_text(scores.to_csv(index=False), "evaluation/scores.csv")
            uri = log_model(folder, {}) if loadable else log_files(folder, run_id)
        return TrainedModel(run_id=run_id, model_uri=uri, data_digest=version.digest)

    return log


def log_files(folder, run_id):
    client = MlflowClient()
    experiment = client.get_run(run_id).info.experiment_id
    made = client.create_logged_model(experiment, name="detector", source_run_id=run_id)
    (folder.parent / "model" / "artifacts").mkdir(parents=True)
    folder.rename(folder.parent / "model" / "artifacts" / folder.name)
    client.log_model_artifacts(made.model_id, str(folder.parent / "model"))
    client.finalize_logged_model(made.model_id, "READY")
    return f"models:/{made.model_id}"


@pytest.fixture
def register_detector(log_detector):
    """Function that registers a detector whose test scores are given, as the flow does."""
    from tasks.registry.register import register

    def register_one(
        name="squares", seed=0, quality=1.0, version=VERSION, metric=None, *, loadable=False
    ):
        scores = make_scores(quality)
        trained = log_detector(name, seed, version, scores, loadable=loadable)
        value = frame_auc(scores) if metric is None else metric
        report = Report(
            run_id=trained.run_id, data_digest=version.digest, metrics={"frame_auc": value}
        )
        return register.fn(trained, report, name), report

    return register_one


@pytest.fixture
def registered(repository, empty_store, register_detector, tmp_path_factory):
    """Function that does what calls of ``register_detector`` do, once in a session.

    It is called with the arguments of each, before anything else asks the store, and returns what
    they returned.
    """

    def fill(*calls):
        def make(folder):
            there = make_repository(folder / "repository")
            (there / ".unseen").mkdir()
            shutil.copyfile(empty_store, there / ".unseen" / "mlflow.db")
            with projects.entered(there):
                found = [register_detector(**each) for each in calls]
            text = json.dumps([[asdict(version), asdict(report)] for version, report in found])
            (folder / "found.json").write_text(text)

        name = "-".join(f"{key}{value}" for each in calls for key, value in each.items())
        made = projects.once(tmp_path_factory, f"registered-{name}", make)
        projects.copied(made / "repository", repository)
        found = json.loads((made / "found.json").read_text())
        return [(ModelVersion(**version), Report(**report)) for version, report in found]

    return fill


def make_scores(quality, num_clips=12, num_frames=20):
    """A table of test scores, as ``evaluate`` logs it: the better, the higher ``quality``."""
    random = np.random.default_rng(0)
    rows = []
    for clip in range(num_clips):
        anomalous = clip % 2 == 1
        for frame in range(num_frames):
            label = int(anomalous and frame >= num_frames // 2)
            score = quality * label + random.normal()
            kind = "cart" if anomalous else "good"
            rows.append((f"{kind}/{clip:02}", kind, frame, label, score))
    return pd.DataFrame(rows, columns=["clip", "kind", "frame", "label", "image_score"])


def frame_auc(scores):
    """Share of (anomalous, normal) pairs of frames that are in the right order."""
    anomalous = scores.image_score[scores.label == 1].to_numpy()
    normal = scores.image_score[scores.label == 0].to_numpy()
    return float((anomalous[:, None] > normal).mean())


@pytest.fixture(scope="module")
def shared_repository(tmp_path_factory, empty_store):
    """A repository like ``repository`` for all tests of a file; it is their working directory."""
    folder = make_repository(tmp_path_factory.mktemp("shared") / "repository")
    (folder / ".unseen").mkdir()
    shutil.copyfile(empty_store, folder / ".unseen" / "mlflow.db")
    with projects.entered(folder):
        yield folder
