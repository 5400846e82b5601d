"""An alarm names what it was compared with: training patches, or layers and channels."""

import hashlib
from dataclasses import replace

import cv2
import pytest

from models.encoders.pretrained import PretrainedTrunk
from models.errors import InvalidInputError
from models.one_class.gaussian_features import GaussianFeatures
from models.one_class.padim import PaDiM
from models.one_class.patchcore import PatchCore
from tasks.data import snapshots, versions
from tasks.data.ingest import ingest
from tasks.packaging import package
from tasks.records import Training
from tasks.registry import mlflow_store, model_versions
from tasks.serving import kept_pictures
from tasks.serving.evidence import _in_order, evidence
from tasks.serving.trace_prediction import trace_prediction
from tasks.training.fit import fit
from tasks.training.pretrain import pretrain
from tests.flows.tiny import write
from tests.tasks.conftest import VALIDATION
from tests.tasks.serving.monitoring.test_prediction_log import ONE
from tests.tasks.serving.monitoring.test_prediction_log import write as write_log

CROSS = Training(image_size=(64, 64), calibration="cross", device="cpu")


@pytest.fixture
def answered(repository, tmp_path):
    """Function that fits and registers a detector; what it said of an image with a disc."""
    folder = write(tmp_path / "incoming", num_train=12, num_test=1)
    normal = folder / "train" / "good"
    (normal / "000_again.png").write_bytes((normal / "000.png").read_bytes())
    version = ingest.fn("stripes", folder)
    image = folder / "test" / "disc" / "000.png"

    def answer(config, training=CROSS):
        trunk = pretrain.fn(version, PretrainedTrunk.Config(), None, training, "stripes")
        recipe = {"training": {"calibration": training.calibration}}
        fitted = fit.fn(version, VALIDATION, trunk, config, training, recipe, "stripes")
        client = mlflow_store.client()
        client.create_registered_model("stripes")
        sums = package.verify(model_versions.folder(fitted.model_uri))
        tags = {"unseen.model_digest": package.digest(sums)}
        client.create_model_version("stripes", fitted.model_uri, fitted.run_id, tags=tags)
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
        return version, image, replace(ONE, model="stripes", version=1, files=(digest,))

    return answer


def test_a_region_stands_beside_the_training_patch_that_it_is_nearest_to(answered, tmp_path):
    version, image, said = answered(PatchCore.Config(false_alarm_rate=0.2))
    found = evidence(said, image, tmp_path / "evidence.png")
    files = {entry.relpath: entry.md5 for entry in versions.entries(version)}
    packaged = model_versions.load(model_versions.resolve(mlflow_store.client(), "stripes", 1))
    numbered = _in_order(packaged, snapshots.open_version(version))
    assert len(numbered) == 12  # a copy of the first was not learned from, and has no number
    assert found
    for each in found:
        assert files[each.file] == each.md5
        assert each.file.startswith("train/good/")
        top, left, bottom, right = each.patch
        assert 0 <= top < bottom <= 64
        assert 0 <= left < right <= 64
        assert each.distance > 0
    write_log(replace(said, anomalous=(0,), frames=(0,), image_score=(1.0,), p_value=(0.1,)))
    kept = kept_pictures.path_of("stripes", said.files[0])
    kept.parent.mkdir(parents=True)
    kept.write_bytes(image.read_bytes())
    traced = trace_prediction("r-1", picture=tmp_path / "again.png")
    assert traced.evidence == found
    assert (tmp_path / "again.png").is_file()
    distances = [each.distance for each in found]
    assert distances == sorted(distances, reverse=True)
    assert cv2.imread(str(tmp_path / "evidence.png")).std() > 10


def test_layers_and_channels_speak_for_a_region(answered, tmp_path):
    _, image, said = answered(PaDiM.Config(false_alarm_rate=0.2))
    found = evidence(said, image, tmp_path / "evidence.png")
    assert dict(found[0].layers).keys() == {"blocks.2", "blocks.4"}
    assert sum(share for _, share in found[0].layers) == pytest.approx(1)
    assert len(found[0].channels) == 5
    assert not (tmp_path / "evidence.png").exists()


def test_another_image_and_a_detector_that_cannot_tell_are_refused(answered, tmp_path):
    _, image, said = answered(GaussianFeatures.Config(false_alarm_rate=0.2))
    with pytest.raises(InvalidInputError, match="GaussianFeatures cannot say"):
        evidence(said, image, tmp_path / "evidence.png")
    with pytest.raises(InvalidInputError, match="must be one that r-1 was the answer to"):
        evidence(said, image.parent.parent / "good" / "000.png", tmp_path / "evidence.png")


def test_shuffled_training_images_cannot_be_named(answered, tmp_path):
    held_out = replace(CROSS, calibration="held-out", calibration_share=0.4)
    _, image, said = answered(PatchCore.Config(false_alarm_rate=0.2), held_out)
    with pytest.raises(InvalidInputError, match="only with calibration 'cross'"):
        evidence(said, image, tmp_path / "evidence.png")
