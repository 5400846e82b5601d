"""Fixture: a registered detector of one camera, and the data of a second one."""

import json
import shutil
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest

from models.encoders.small import SmallTrunk
from models.one_class.deep_anomaly import DeepAnomaly, SparseLayerConfig
from tasks.records import DataVersion, Report, Training, Validation
from tests import projects
from tests.conftest import make_repository
from tests.tasks.pictures import save

TRAINING = Training(batch_size=8, device="cpu", seed=3)
DETECTOR = DeepAnomaly.Config(
    neighbourhood=3, layer=SparseLayerConfig(kernels=4, epochs=1, num_samples=200)
)


def write_camera(folder, seed, gain=1.0, size=(24, 32)):
    """Stripes as normal, with a bright square as the anomaly."""
    random = np.random.default_rng(seed)

    def stripes():
        rows = 110 + 50 * np.sin(np.arange(size[0])[:, None] / 3 + random.uniform(0, 6))
        return np.clip(gain * (rows + random.normal(0, 8, size)), 0, 255).astype(np.uint8)

    for number in range(12):
        save(folder / "train" / "good" / f"{number:03}.png", stripes())
    for number in range(3):
        save(folder / "test" / "good" / f"{number:03}.png", stripes())
        spotted = stripes()
        spotted[6:14, 8:20] = 255
        save(folder / "test" / "square" / f"{number:03}.png", spotted)
    return folder


def register_first(folder):
    """Register a detector of the first camera, without alias ``champion``; the data version."""
    from tasks.data.ingest import ingest
    from tasks.registry.register import register
    from tasks.training.fit import fit
    from tasks.training.pretrain import pretrain

    first = ingest.fn("first", write_camera(folder / "first", 0))
    encoder = pretrain.fn(first, SmallTrunk.Config(width=2), None, TRAINING, "first")
    validated = Validation(
        run_id="2" * 32, data_digest=first.digest, suite="first", num_expectations=1
    )
    recipe = {"name": "first", "training": {"batch_size": 8, "seed": 3, "device": "cpu"}}
    detector = fit.fn(first, validated, encoder, DETECTOR, TRAINING, recipe, "first")
    report = Report(run_id=detector.run_id, data_digest=first.digest, metrics={"image_auroc": 1.0})
    register.fn(detector, report, "first")
    return first


@pytest.fixture(scope="module")
def two_cameras(tmp_path_factory, empty_store):
    """A repository where a detector of ``first`` is registered, without alias ``champion``.

    Attributes:
        first, second: Data versions.
        validation: Of ``second``.
    """
    from tasks.data.ingest import ingest

    def make(folder):
        repository = make_repository(folder / "repository")
        (repository / ".unseen").mkdir()
        shutil.copyfile(empty_store, repository / ".unseen" / "mlflow.db")
        with projects.entered(repository):
            first = register_first(folder)
            camera = write_camera(folder / "second", 1, gain=0.6, size=(30, 40))
            told = [asdict(first), asdict(ingest.fn("second", camera))]
        (folder / "versions.json").write_text(json.dumps(told))

    made = projects.once(tmp_path_factory, "two_cameras", make)
    folder = projects.copied(made, tmp_path_factory.mktemp("two_cameras"))
    told = json.loads((folder / "versions.json").read_text())
    first, second = (DataVersion(**each) for each in told)
    with projects.entered(folder / "repository"):
        validation = Validation(
            run_id="3" * 32, data_digest=second.digest, suite="second", num_expectations=1
        )
        yield SimpleNamespace(first=first, second=second, validation=validation)
