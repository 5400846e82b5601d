import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.errors import NotFoundError, RegistryError, TrainingError
from tasks.data import versions
from tasks.packaging import package
from tasks.records import TrainedModel, Training
from tasks.registry import mlflow_store, model_versions
from tasks.training import encoder_store, fit
from tests.tasks.conftest import VALIDATION
from tests.tasks.pictures import write_clips

TRAINING = Training(window=6, batch_size=4, calibration_share=0.34, seed=3, device="cpu")
RECIPE = {"name": "clips", "seed": 3}


@pytest.fixture
def version(repository):
    write_clips(repository / "data" / "clips", clips=3)
    return versions.add("clips")


@pytest.fixture
def encoder(version, tiny_detector):
    """An encoder whose weight is 2, logged by a run."""
    pool = tiny_detector.Pool.Config().build()
    torch.nn.init.constant_(pool.weight, 2.0)
    with mlflow_store.run("pretrain", "clips", tags={}, params={}) as active:
        encoder_store.log(pool, version, "pretext")
    uri = f"runs:/{active.info.run_id}/{encoder_store.FOLDER}"
    return TrainedModel(run_id=active.info.run_id, model_uri=uri, data_digest=version.digest)


def fit_tiny(version, encoder, config):
    return fit.fit.fn(version, VALIDATION, encoder, config, TRAINING, RECIPE, "clips")


@pytest.fixture
def fitted(version, encoder, tiny_detector):
    return fit_tiny(version, encoder, tiny_detector.Tiny.Config())


def test_the_packaged_model_tells_what_it_was_made_from(version, encoder, fitted):
    packaged = package.load(model_versions.folder(fitted.model_uri))
    lineage = packaged.lineage
    assert lineage["data"]["digest"] == version.digest == fitted.data_digest
    assert lineage["pretext"]["run_id"] == encoder.run_id
    assert lineage["pretext"]["data"]["digest"] == version.digest
    assert lineage["validation"]["suite"] == VALIDATION.suite
    assert lineage["recipe"] == RECIPE
    assert (lineage["run_id"], lineage["seed"], lineage["device"]) == (fitted.run_id, 3, "cpu")
    files = json.loads((model_versions.folder(fitted.model_uri) / "files.json").read_text())
    assert files == [{"relpath": e.relpath, "md5": e.md5} for e in versions.entries(version)]


def test_the_detector_stands_on_the_encoder_of_the_pretext_run(fitted):
    detector = package.load(model_versions.folder(fitted.model_uri)).detector
    assert detector.encoder.weight.tolist() == [2.0] * 6


def test_p_values_and_threshold_come_from_clips_that_were_held_out(version, fitted):
    from tasks.data import snapshots
    from tasks.training.batches import split_calibration

    snapshot = snapshots.open_version(version)
    _, held_out = split_calibration(snapshot.clips("train"), 0.34, 3, 6)
    packaged = package.load(model_versions.folder(fitted.model_uri))
    scores = [packaged.predict(snapshot.read_clip(clip, None, 1)).image_score for clip in held_out]
    assert np.allclose(packaged.calibration_scores, np.sort(np.concatenate(scores)))
    calibration = packaged.calibration
    assert np.allclose(calibration.image_score, np.concatenate(scores))
    assert calibration.clip.tolist() == [0] * len(scores[0])
    assert np.array_equal(calibration.region_score, calibration.image_score)
    assert packaged.threshold == pytest.approx(np.quantile(np.concatenate(scores), 0.99), rel=1e-5)


def test_the_run_tells_data_parameters_cost_and_statistics(version, fitted):
    run = mlflow_store.client().get_run(fitted.run_id)
    assert run.info.status == "FINISHED"
    assert [each.dataset.digest for each in run.inputs.dataset_inputs] == [version.digest]
    assert run.data.params["training.window"] == "6"
    assert run.data.params["detector.limits.quantile"] == "0.99"
    assert run.data.metrics.keys() >= {"images_per_second", "peak_memory_gb", "seconds"}
    assert run.data.tags["unseen.device"] == "cpu"
    assert 0.05 < run.data.metrics["peak_memory_gb"] < 100
    assert run.data.metrics["calibration.num_clips"] == 1
    assert run.data.metrics["calibration.smallest_p_value"] == 0.5
    assert "calibration.false_alarm_rate" not in run.data.metrics  # no other clip to judge it by
    uri = f"runs:/{fitted.run_id}/statistics"
    folder = Path(mlflow.artifacts.download_artifacts(uri))
    statistics = load_file(folder / "statistics.safetensors")
    assert statistics["mean"].dtype == torch.float64
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["mean"]["largest"] == float(statistics["mean"].max())


def test_a_failed_training_leaves_a_failed_run_and_no_model(
    version, encoder, tiny_detector, monkeypatch
):
    def fail(*arguments, **options):
        raise TrainingError("The images do not vary.")

    monkeypatch.setattr(tiny_detector.Tiny, "fit", fail)
    with pytest.raises(TrainingError):
        fit_tiny(version, encoder, tiny_detector.Tiny.Config())
    client = mlflow_store.client()
    experiment = mlflow_store.experiment("clips")
    statuses = {
        run.data.tags["unseen.kind"]: run.info.status for run in client.search_runs([experiment])
    }
    assert statuses == {"pretrain": "FINISHED", "fit": "FAILED"}
    assert not client.search_logged_models(experiment_ids=[experiment])
    assert mlflow.active_run() is None


def test_a_model_that_does_not_score_the_same_when_read_back_is_refused(
    version, encoder, tiny_detector, monkeypatch
):
    monkeypatch.setattr(tiny_detector.Tiny, "FACTOR", 1.01)
    with pytest.raises(RegistryError, match="must score as the fitted one"):
        fit_tiny(version, encoder, tiny_detector.Tiny.Config())


def test_an_encoder_whose_run_is_gone_is_refused(version, tiny_detector):
    gone = TrainedModel(
        run_id="0" * 32, model_uri=f"runs:/{'0' * 32}/encoder", data_digest=version.digest
    )
    with pytest.raises(NotFoundError, match="Run the pretext task again"):
        fit_tiny(version, gone, tiny_detector.Tiny.Config())
