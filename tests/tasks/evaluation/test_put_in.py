import shutil

import numpy as np
import pytest

from models.contracts import silent
from tasks.data import snapshots, versions
from tasks.evaluation import put_in
from tasks.evaluation.evaluate import summarize
from tasks.evaluation.measure import measure
from tests.flows.tiny import write as write_images
from tests.tasks.evaluation.test_scoring import packaged
from tests.tasks.pictures import write_clips


def opened(repository, write, *, without=()):
    folder = repository / "data" / "set"
    write(folder)
    for part in without:
        shutil.rmtree(folder / part)
    return snapshots.open_version(versions.add("set"))


def test_a_test_split_with_anomalies_needs_no_others(repository):
    snapshot = opened(repository, write_images)
    assert not put_in.wanted(snapshot)
    assert not measure(snapshot.version, packaged(1), silent).put_in


@pytest.mark.parametrize(("write", "window"), [(write_images, 1), (write_clips, 6)])
@pytest.mark.parametrize("normal", [True, False])
def test_without_anomalies_normal_images_are_judged_with_defects(repository, write, window, normal):
    probe = opened(repository, write)
    kinds = {clip.kind for clip in probe.clips("test")} - ({"good"} if normal else set())
    lost = [f"test/{kind}" for kind in kinds] if normal else ["test"]
    shutil.rmtree(repository / "data" / "set")
    snapshot = opened(repository, write, without=[*lost, "ground_truth"])
    assert put_in.wanted(snapshot)
    found = measure(snapshot.version, packaged(window), silent)
    assert found.put_in
    anomalous = found.scores[found.scores.label == 1]
    assert set(anomalous.kind) == {put_in.KIND}
    assert set(found.scores[found.scores.label == 0].kind) == {"good"}
    metrics = summarize(found.scores, 0.5, is_video=found.is_video).values
    names = put_in.renamed(metrics)
    assert names["put_in_auroc"] == metrics["frame_auc" if window > 1 else "image_auroc"]
    assert names["false_alarm_rate"] == metrics["false_alarm_rate"]
    assert not any(name.startswith(put_in.RENAMED) for name in names)
    again = measure(snapshot.version, packaged(window), silent).scores
    assert np.array_equal(again.image_score, found.scores.image_score)
    assert found.gallery.detected
    taken = ~found.scores["clip"].str.startswith("calibration/")
    assert found.num_scored == taken.sum()
    assert found.seconds > 0  # of what was scored, though there may be no test image
