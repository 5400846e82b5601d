import importlib
import io
import json
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from models.errors import DataError
from models.metrics.intervals import clustered_interval
from tasks.data import mlflow_dataset, snapshots, versions
from tasks.evaluation.evaluate import evaluate, score_version, summarize
from tasks.packaging import package
from tasks.packaging.preprocessing import Preprocessing
from tasks.records import TrainedModel
from tasks.registry import lineage_record, mlflow_store, model_versions
from tests.tasks.conftest import VALIDATION, log_files
from tests.tasks.pictures import SIZE, picture, save, write_clips, write_stills

MARKED = (6, 7, 8)


def bright_clips(folder):
    """Clips of dim noise; a white mark that the masks cover in three frames of a cart."""
    write_clips(folder, frames=9, marked=MARKED)
    for path in sorted(folder.rglob("*.png")):
        if "ground_truth" not in path.parts:
            save(path, np.asarray(Image.open(path)) // 4)
    for t in MARKED:
        path = folder / f"test/cart/01/{t:03d}.png"
        mask = np.asarray(Image.open(folder / f"ground_truth/cart/01/{t:03d}.png"))
        save(path, np.where(mask, 255, np.asarray(Image.open(path))).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def train(shared_repository, tmp_path_factory):
    """Function that fits the tiny detector to a data version and logs it to a run of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1])
        tiny_detector = importlib.import_module("tiny_detector")

        def fit(version, window):
            snapshot = snapshots.open_version(version)
            preprocessing = Preprocessing(window=window)
            normal = [
                torch.tensor(preprocessing(snapshot.read_clip(clip, None, 1))).float() / 255
                for clip in snapshot.clips("train")
            ]
            encoder = tiny_detector.Pool.Config(channels=window).build()
            detector = tiny_detector.Tiny.Config().build(encoder).fit(normal, normal)
            return log(detector, version, preprocessing, tmp_path_factory.mktemp("detector"))

        yield fit
    sys.modules.pop("tiny_detector", None)


def log(detector, version, preprocessing, folder):
    with mlflow_store.run("fit", version.name, tags={}, params={}) as active:
        run_id = active.info.run_id
        mlflow_dataset.log_input(version, "training")
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
            folder / model_versions.PACKAGE,
            detector,
            preprocessing=preprocessing,
            calibration_scores=np.linspace(0, 1, 9),
            lineage=described,
            files=[],
        )
        uri = log_files(folder / model_versions.PACKAGE, run_id)
    return TrainedModel(run_id=run_id, model_uri=uri, data_digest=version.digest)


@pytest.fixture(scope="module")
def evaluated(train):
    """A version of clips, a detector, and the report of its evaluation."""
    bright_clips(versions.folder() / "bright")
    version = versions.add("bright")
    detector = train(version, 6)
    return version, detector, evaluate.fn(version, detector)


def artifacts(run_id):
    client = mlflow_store.client()
    found = client.list_artifacts(run_id, "evaluation")
    return {each.path.removeprefix("evaluation/"): each.file_size for each in found}


def read_text(run_id, name):
    return mlflow.artifacts.load_text(f"runs:/{run_id}/evaluation/{name}")


def test_clips_are_measured_by_frames_and_pixels_and_everything_is_logged(evaluated):
    version, detector, report = evaluated

    assert (report.run_id, report.data_digest) == (detector.run_id, version.digest)
    assert {"frame_auc", "frame_eer", "pixel_eer", "false_alarm_rate", "detection_rate"} <= set(
        report.metrics
    )
    assert report.metrics["frame_auc"] == report.metrics["frame_auc.cart"] == 1.0
    assert report.metrics["num_frames"] == 8  # 9 frames each, of which a window of 6 describes 4
    assert report.metrics["frames_per_s"] >= report.metrics["end_to_end_frames_per_s"] > 0

    scores = pd.read_csv(io.StringIO(read_text(detector.run_id, "scores.csv")))
    assert list(scores.columns)[:6] == ["clip", "kind", "frame", "label", "image_score", "p_value"]
    assert list(scores["frame"]) == [5, 6, 7, 8] * 2
    assert list(scores["label"]) == [0, 1, 1, 1] + [0] * 4
    assert scores["p_value"].between(0, 1).all()

    written = artifacts(detector.run_id)
    pictures = ("roc.png", "timeline.png", "worst_frames.png", "result.png")
    assert all(written[name] > 10_000 for name in pictures)
    described = json.loads(read_text(detector.run_id, "metrics.json"))
    assert described["values"] == report.metrics
    assert described["data"]["digest"] == version.digest

    run = mlflow_store.client().get_run(detector.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == report.metrics
    assert run.data.tags["unseen.evaluation_notes"] == ""
    logged = mlflow_store.client().get_logged_model(detector.model_uri.removeprefix("models:/"))
    about = {metric.key: metric.dataset_digest for metric in logged.metrics}
    assert about["frame_auc"] == version.digest


def test_a_second_evaluation_replaces_the_first(evaluated):
    version, detector, first = evaluated
    once = artifacts(detector.run_id)
    scores = read_text(detector.run_id, "scores.csv")
    again = evaluate.fn(version, detector)
    assert artifacts(detector.run_id).keys() == once.keys()
    assert read_text(detector.run_id, "scores.csv") == scores
    steady = {key for key in first.metrics if not key.endswith("_per_s")}
    assert {key: first.metrics[key] for key in steady} == {
        key: again.metrics[key] for key in steady
    }
    run = mlflow_store.client().get_run(detector.run_id)
    assert run.data.metrics == again.metrics
    assert len(run.inputs.dataset_inputs) == 1
    assert run.info.status == "FINISHED"


def test_still_images_are_measured_by_images_and_pixels(train):
    folder = write_stills(versions.folder() / "stills")
    mask = np.zeros(SIZE, bool)
    mask[4:8, 4:12] = True
    for path in folder.rglob("*.png"):
        if "ground_truth" not in path.parts:
            save(path, np.asarray(Image.open(path)) // 4)
    save(folder / "ground_truth/scratch/000_mask.png", mask)
    save(folder / "test/scratch/000.png", np.where(mask, 255, picture(0) // 4).astype(np.uint8))
    version = versions.add("stills")
    detector = train(version, 1)
    report = evaluate.fn(version, detector)
    assert report.metrics["image_auroc"] == 1.0
    assert report.metrics["pixel_auroc"] == 1.0
    assert "frame_auc" not in report.metrics
    written = artifacts(detector.run_id)
    assert written["scores_by_kind.png"] > 10_000
    assert "timeline.png" not in written


def test_a_test_split_of_one_class_has_no_auc_but_a_note(train):
    folder = write_clips(versions.folder() / "normal")
    for part in ("test/cart", "ground_truth"):
        for path in sorted((folder / part).rglob("*.png")):
            path.unlink()
    version = versions.add("normal")
    detector = train(version, 6)
    report = evaluate.fn(version, detector)
    assert set(report.metrics) == {
        "threshold",
        "num_frames",
        *ALARMS,
        "false_alarm_rate_p05",
        "false_alarm_rate_p01",
        "put_in_auroc",
        "put_in_auroc_low",
        "put_in_auroc_high",
        "put_in_auroc.put_in",
        "put_in_eer",
        "put_in_pixel_eer",
        "put_in_detection_rate",
        "put_in_detection_rate_low",
        "put_in_detection_rate_high",
        "frames_per_s",
        "end_to_end_frames_per_s",
    }
    tags = mlflow_store.client().get_run(detector.run_id).data.tags
    assert "defects that were put into normal images" in tags["unseen.evaluation_notes"]
    assert artifacts(detector.run_id)["result.png"] > 10_000


def test_clips_shorter_than_the_window_are_refused(evaluated):
    _, detector, _ = evaluated
    write_clips(versions.folder() / "short", frames=5)
    with pytest.raises(DataError, match="at least 6 frames"):
        evaluate.fn(versions.add("short"), detector)


def test_an_older_model_is_scored_on_other_data_without_logging(evaluated):
    write_clips(versions.folder() / "others", frames=7, clips=1)
    _, detector, _ = evaluated
    before = read_text(detector.run_id, "scores.csv")
    packaged = package.load(model_versions.folder(detector.model_uri))
    scores = score_version(versions.add("others"), packaged)
    assert list(scores["frame"]) == [5, 6, 5, 6]
    assert list(scores["clip"].unique()) == ["cart/01", "good/01"]
    assert read_text(detector.run_id, "scores.csv") == before


ALARMS = ("false_alarm_rate", "false_alarm_rate_low", "false_alarm_rate_high")
DETECTED = ("detection_rate", "detection_rate_low", "detection_rate_high")
SCORES = pd.DataFrame(
    [
        ("good/1", "good", 0, 0, 1.0, 1.0),
        ("good/1", "good", 1, 0, 2.0, 2.0),
        ("good/1", "good", 2, 0, 3.0, np.nan),
        ("good/1", "good", 3, 0, 4.0, 4.0),
        ("cart/1", "cart", 0, 1, 2.5, 3.0),
        ("big bike/1", "big bike", 0, 1, 5.0, np.nan),
    ],
    columns=["clip", "kind", "frame", "label", "image_score", "pixel_score"],
)


def test_metrics_are_those_computed_by_hand():
    found = summarize(SCORES, 3.0, is_video=True)
    interval = clustered_interval(np.array([False, True]), np.array(["cart", "bike"]))
    assert found.notes == []
    assert found.values == pytest.approx(
        {
            "threshold": 3.0,
            "num_frames": 6,
            "false_alarm_rate": 2 / 4,
            "false_alarm_rate_low": 0.0,  # a single clip tells nothing
            "false_alarm_rate_high": 1.0,
            "detection_rate": 1 / 2,
            "detection_rate_low": interval[0],
            "detection_rate_high": interval[1],
            "frame_auc": 6 / 8,
            "frame_auc_low": 0.5,  # draws of the cart alone, and of the bike alone
            "frame_auc_high": 1.0,
            "frame_eer": 1 / 2,
            "frame_auc.cart": 2 / 4,
            "frame_auc.big_bike": 1.0,
            "pixel_eer": 1 / 3,
        }
    )


def test_false_alarms_come_with_an_interval_in_which_clips_count():
    rows = [
        (f"good/{clip}", "good", t, 0, float(clip == 0)) for clip in range(10) for t in range(9)
    ]
    scores = pd.DataFrame(rows, columns=["clip", "kind", "frame", "label", "image_score"])
    scores["p_value"] = np.where(scores["image_score"] > 0, 0.04, 0.5)
    found = summarize(scores, 0.5, is_video=True).values
    low, high = clustered_interval(scores["image_score"].to_numpy() > 0, scores["clip"].to_numpy())
    assert found["false_alarm_rate"] == found["false_alarm_rate_p05"] == 0.1
    assert found["false_alarm_rate_p01"] == 0
    assert (found["false_alarm_rate_low"], found["false_alarm_rate_high"]) == (low, high)
    assert high - low > 0.3  # one clip of ten, not nine frames of ninety


def test_metrics_of_images_have_the_names_of_images():
    found = summarize(SCORES, 3.0, is_video=False).values
    assert {"image_auroc", "image_eer", "image_auroc.cart"} <= set(found)
    assert "pixel_eer" not in found


@pytest.mark.parametrize(("label", "kept"), [(0, ALARMS), (1, DETECTED)])
def test_what_one_class_cannot_tell_is_left_out_with_a_note(label, kept):
    found = summarize(SCORES[SCORES["label"] == label], 3.0, is_video=True)
    assert set(found.values) == {"threshold", "num_frames", *kept}
    assert len(found.notes) == 1
    assert np.isfinite(list(found.values.values())).all()


def test_without_masks_the_pixel_level_is_left_out_with_a_note():
    found = summarize(SCORES.assign(pixel_score=np.nan), 3.0, is_video=True)
    assert "pixel_eer" not in found.values
    assert "pixel_eer" in found.notes[0]
