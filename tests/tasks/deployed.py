"""Fixtures of trace and serve: a real data version, and detectors that were trained on it."""

import contextlib
import importlib
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tasks.packaging.preprocessing import Preprocessing
from tasks.records import Decision, Report, TrainedModel, Validation
from tests import projects
from tests.conftest import make_repository

VALIDATION = Validation(
    run_id="2" * 32,
    data_digest="0123456789abcdef0123456789abcdef.dir",
    suite="squares",
    num_expectations=9,
    failed=("enough images",),
)


@pytest.fixture
def clips(repository, tmp_path):
    """The version of a small data set of clips, brought in with the real DVC."""
    return bring_in(tmp_path / "source")


@pytest.fixture
def deploy_detector(clips, tiny_detector, tmp_path_factory):
    """Function that fits a detector to windows of the clips, registers it and makes it champion."""
    return deployer(clips, tiny_detector, tmp_path_factory)


@pytest.fixture(scope="module")
def settled(tmp_path_factory, empty_store):
    """A repository whose model ``squares`` serves; each test leaves it as it was.

    Attributes:
        folder: The repository.
        source: The data as they were before they were brought in.
        clips: Their version.
        deploy: See ``deployer``.
    """
    made = settled_once(tmp_path_factory, empty_store)
    folder = projects.copied(made, tmp_path_factory.mktemp("settled"))
    with entered(folder, tmp_path_factory) as found:
        yield found


@pytest.fixture
def served(tmp_path_factory, empty_store):
    """Such a repository for one test, which may change it."""
    made = settled_once(tmp_path_factory, empty_store)
    with entered(projects.copied(made, tmp_path_factory.mktemp("served")), tmp_path_factory) as own:
        yield own


def settled_once(tmp_path_factory, empty_store):
    """What ``settled`` is a copy of."""

    def settle(folder):
        repository = make_repository(folder / "repository")
        (repository / ".unseen").mkdir()
        shutil.copyfile(empty_store, repository / ".unseen" / "mlflow.db")
        with _inside(repository) as module:
            deployer(bring_in(folder / "source"), module, tmp_path_factory)()

    return projects.once(tmp_path_factory, "settled", settle)


@contextlib.contextmanager
def entered(folder, tmp_path_factory):
    """Work in a copy of what ``settled_once`` made; yields what ``settled`` does."""
    from tasks.data import versions

    with _inside(folder / "repository") as module:
        clips = versions.current("squares")
        yield SimpleNamespace(
            folder=folder / "repository",
            source=folder / "source",
            clips=clips,
            deploy=deployer(clips, module, tmp_path_factory),
        )


@contextlib.contextmanager
def _inside(repository):
    """Work in a repository with a store; yields the module of its detectors."""
    with projects.entered(repository) as patch:
        patch.syspath_prepend(Path(__file__).parent)
        try:
            yield importlib.import_module("tiny_detector")
        finally:
            sys.modules.pop("tiny_detector", None)


@contextlib.contextmanager
def damaged(path, content=None):
    """A file with one byte changed, or with other content, or gone if that is empty."""
    before, mode = path.read_bytes(), path.stat().st_mode
    path.unlink()
    if content is None:
        content = before[:-1] + bytes([before[-1] ^ 1])
    if content:
        path.write_bytes(content)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        path.write_bytes(before)
        path.chmod(mode)


@contextlib.contextmanager
def tagged(**tags):
    """Version 1 of ``squares`` with other tags of ours; None takes one away."""
    from tasks.registry import mlflow_store
    from tasks.registry.tags import TAG

    client = mlflow_store.client()
    before = client.get_model_version("squares", "1").tags

    def put(key, value):
        if value is None:
            client.delete_model_version_tag("squares", "1", key)
        else:
            client.set_model_version_tag("squares", "1", key, value)

    for name, value in tags.items():
        put(TAG + name, value)
    try:
        yield
    finally:
        for name in tags:
            put(TAG + name, before.get(TAG + name))


def package_of(name="squares", wanted="champion"):
    """Folder of the packaged detector of a registered version."""
    from tasks.registry import mlflow_store, model_versions

    return model_versions.folder(model_versions.resolve(mlflow_store.client(), name, wanted).source)


def bring_in(source):
    """Write a small data set of clips, and return its version."""
    from tasks.data.ingest import ingest

    random = np.random.default_rng(0)
    for clip in ("train/good/01", "train/good/02", "test/good/01", "test/cart/01"):
        (source / clip).mkdir(parents=True)
        for number in range(8):
            pixels = random.integers(0, 64, (16, 24), dtype=np.uint8)
            Image.fromarray(pixels).save(source / clip / f"{number:03}.png")
    return ingest.fn("squares", source)


def deployer(clips, tiny_detector, tmp_path_factory):
    """Function that fits a detector to windows of the clips, registers it and makes it champion."""
    from tasks.registry.register import register

    def deploy(
        name="squares", *, seed=0, version=clips, pretext=clips, promoted=True, program=False
    ):
        fitted = fit_windows(tiny_detector, version, seed)
        folder = tmp_path_factory.mktemp("detector")
        trained = log_fitted(name, folder, fitted, (version, pretext), seed, program=program)
        metrics = {"frame_auc": 0.875, "frame_eer": 0.125}
        report = Report(run_id=trained.run_id, data_digest=version.digest, metrics=metrics)
        registered = register.fn(trained, report, name)
        if promoted:
            make_champion(registered)
        return registered

    return deploy


def fit_windows(tiny_detector, version, seed):
    """A detector, its preprocessing, and the windows of the clips that it was fitted to."""
    from tasks.data import snapshots

    snapshot = snapshots.open_version(version)
    preprocessing = Preprocessing(window=6)
    normal = [
        torch.tensor(preprocessing(snapshot.read_clip(clip, None, 1))).float() / 255
        for clip in snapshot.clips("train")
    ]
    limits = tiny_detector.Limits(quantile=0.99 - seed / 10)
    config = tiny_detector.Tiny.Config(limits=limits)
    detector = config.build(tiny_detector.Pool.Config().build()).fit(normal, normal)
    return detector, preprocessing, normal


def log_fitted(name, temporary, fitted, data, seed, *, program):
    """Package a detector and log it, as ``fit`` does.

    Args:
        name: The registered model's.
        temporary: An empty folder.
        fitted: What ``fit_windows`` returns.
        data: Versions that it and its encoder were trained on.
        seed: Of the recipe.
        program: Add it as a program, too.
    """
    from tasks.data import snapshots
    from tasks.packaging import make_program, package
    from tasks.registry import lineage_record, mlflow_store, model_versions
    from tasks.training.log_detector import log_model

    detector, preprocessing, normal = fitted
    folder = temporary / model_versions.PACKAGE
    with mlflow_store.run("pretrain", name, tags={}, params={}) as pretrained:
        encoder = {"run_id": pretrained.info.run_id, "backbone": "pretext", "data": asdict(data[1])}
    with mlflow_store.run("fit", name, tags={}, params={}) as active:
        package.save(
            folder,
            detector,
            preprocessing=preprocessing,
            calibration_scores=np.concatenate([detector(one).image_score for one in normal]),
            lineage=lineage_record.describe(
                version=data[0],
                validation=VALIDATION,
                pretext=encoder,
                recipe={"name": name, "metric": "frame_auc", "detector": {"shrinkage": 0.01}},
                seed=seed,
                run_id=active.info.run_id,
                device="cpu",
            ),
            files=[asdict(entry) for entry in snapshots.open_version(data[0]).entries],
        )
        if program:
            make_program.add_program(folder, detector, normal[0])
        uri = log_model(folder, lineage_record.data_tags(data[0]))
    return TrainedModel(run_id=active.info.run_id, model_uri=uri, data_digest=data[0].digest)


def make_champion(registered):
    """Record a promotion and put it into effect, as ``promote`` does after its comparison."""
    from tasks.registry import history, mlflow_store, model_versions

    client = mlflow_store.client()
    decision = Decision(
        action="promote",
        name=registered.name,
        version=registered.version,
        champion=registered.version,
        former=model_versions.aliases(client, registered.name).get(model_versions.CHAMPION),
        why="It is better.",
        who="Ada",
        when=history.now(),
        figures={"difference": 0.01},
    )
    history.record(decision, client)
