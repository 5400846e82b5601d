import mlflow
import numpy as np
import pytest
import torch
from PIL import Image

from models.density.pixel_cnn import PixelCnn
from models.encoders.pixels import Pixels
from tasks.data import versions
from tasks.evaluation.sample import NUM, PICTURE, sample
from tasks.packaging import package
from tasks.packaging.preprocessing import Preprocessing
from tasks.records import TrainedModel
from tasks.registry import lineage_record, mlflow_store, model_versions
from tests.tasks.conftest import VALIDATION, VERSION, log_files
from tests.tasks.pictures import save


@pytest.fixture
def version(repository):
    """Eight training images with a white bar, and two to test, of which one is normal."""
    folder = versions.folder() / "bars"
    for row in range(8):
        bar = np.zeros((8, 8), np.uint8)
        bar[row] = 255
        save(folder / "train" / "good" / f"{row:03}.png", bar)
    save(folder / "test" / "good" / "000.png", np.eye(8, dtype=np.uint8) * 255)
    save(folder / "test" / "blank" / "000.png", np.zeros((8, 8), np.uint8))
    return versions.add("bars")


@pytest.fixture
def density_model(version, tmp_path):
    """A packaged PixelCNN in a run of its own."""
    bars = torch.eye(8).reshape(8, 1, 8, 1).expand(8, 1, 8, 8).contiguous()
    config = PixelCnn.Config(width=4, vertical_width=4, depth=1, epochs=2)
    model = config.build(Pixels.Config().build()).fit([bars], [bars])
    with mlflow_store.run("fit", "bars", tags={}, params={}) as active:
        run_id = active.info.run_id
        described = lineage_record.describe(
            version=version,
            validation=VALIDATION,
            pretext={},
            recipe={},
            seed=0,
            run_id=run_id,
            device="cpu",
        )
        package.save(
            tmp_path / model_versions.PACKAGE,
            model,
            preprocessing=Preprocessing(),
            calibration_scores=np.linspace(0, 1, 9),
            lineage=described,
            files=[],
        )
        uri = log_files(tmp_path / model_versions.PACKAGE, run_id)
    return TrainedModel(run_id=run_id, model_uri=uri, data_digest=version.digest)


def test_drawn_pictures_are_logged_above_the_training_images_most_like_them(version, density_model):
    found = sample.fn(version, density_model)
    assert found.num == NUM
    picture = mlflow.artifacts.load_image(f"runs:/{density_model.run_id}/{PICTURE}")
    assert isinstance(picture, Image.Image)
    assert picture.width > 8 * 12
    run = mlflow_store.client().get_run(density_model.run_id)
    assert run.data.metrics == found.metrics
    # The diagonal agrees with a bar in one of eight white pixels: 7 + 7 pixels differ.
    assert found.metrics["test_distance"] == pytest.approx(14**0.5)
    assert found.metrics["sample_distance"] > 0


def test_a_detector_that_draws_nothing_logs_nothing(log_detector):
    detector = log_detector()
    found = sample.fn(VERSION, detector)
    assert (found.num, found.metrics) == (0, {})
    assert not mlflow_store.client().list_artifacts(detector.run_id, "samples")
