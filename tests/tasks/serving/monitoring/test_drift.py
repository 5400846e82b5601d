import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from models.metrics.intervals import clopper_pearson
from tasks.packaging.calibration import Calibration
from tasks.serving.monitoring import drift
from tasks.serving.monitoring.served_statistics import BLOCK, RECENT, Identity, Seen, Served
from tests.tasks.drifting import report
from tests.tasks.packaging.test_detector import packaged

IDENTITY = Identity(name="squares", version=1, digest="0" * 64, rate=None)


def filled(num=40, *, p_value=0.5, **changes):
    made = Served(IDENTITY, drift.score_edges(packaged()))
    given = {"num_alarms": 3, "is_clip": False, **changes}
    made.add(Seen(p_value=np.full(num, p_value), image_score=np.zeros(num), **given))
    return made


def test_without_a_gaussian_p_values_and_alarms_are_told():
    norm = drift.norm_of(packaged(), None)
    assert (norm.reference, norm.limit, norm.typical) == (None, None, None)
    assert (norm.num_calibration, norm.rate, norm.wanted) == (4, 0.0, 32)
    found = drift.compare(filled(), norm)
    assert (found.verdict, found.recent.distance) == ("no drift", None)
    assert found.recent.alarm_rate == 3 / 40
    low, high = found.recent.alarm_rate_low, found.recent.alarm_rate_high
    assert (low, high) == pytest.approx(clopper_pearson(3, 40))


def test_p_values_alone_can_tell_drift():
    model = packaged()
    model.calibration = Calibration(image_score=np.linspace(0, 1, 60), clip=np.arange(60))
    norm = drift.norm_of(model, 0.05)
    assert norm.rate == 0.05
    assert drift.compare(filled(200, p_value=1 / 61), norm).verdict == "drift"
    one_clip = drift.compare(filled(200, p_value=1 / 61, is_clip=True), norm)
    assert one_clip.verdict == "no drift"  # frames of one clip count once


def test_the_limit_is_that_of_the_windows_which_the_model_carries():
    model = packaged()
    windows = {"window_distance": np.array([1.0, 1.0, 1.0]), "window_frames": np.full(3, 70.0)}
    model.calibration = replace(model.calibration, **windows)
    norm = drift.norm_of(model, None)
    assert (norm.limit, norm.typical, norm.wanted) == (pytest.approx(1), 1, 70)
    long = {**windows, "window_frames": np.full(3, 10**4)}
    model.calibration = replace(model.calibration, **long)
    assert drift.norm_of(model, None).wanted <= (RECENT - 1) * BLOCK  # as many are always recent
    few = {name: values[:2] for name, values in windows.items()}
    model.calibration = replace(model.calibration, **few)
    assert drift.norm_of(model, None).limit is None


def test_the_distance_of_frames_is_in_the_detectors_units():
    reference = drift.Reference(np.zeros(2), np.eye(2), np.eye(2) * 2)
    norm = drift.Norm(
        reference=reference, limit=1.0, typical=0.1, wanted=1, num_calibration=4, rate=0.1
    )
    vectors = np.array([[1.0, 1], [-1, 1], [1, -1], [-1, -1]]) + np.array([3.0, 0])
    found = drift.compare(filled(features=(vectors,)), norm)
    assert found.recent.distance == pytest.approx(36)  # unit covariance, mean off by 3 times 2
    assert found.verdict == "drift"


def test_frames_that_are_all_alike_have_a_distance():
    reference = drift.Reference(np.zeros(2), np.eye(2), np.eye(2))
    norm = drift.Norm(
        reference=reference, limit=1.0, typical=0.1, wanted=1, num_calibration=4, rate=0.1
    )
    found = drift.compare(filled(features=(np.zeros((9, 2)),)), norm)
    assert found.recent.distance == pytest.approx(2)


def test_before_any_frame_there_is_a_report_too():
    norm = drift.norm_of(packaged(), None)
    found = drift.compare(Served(IDENTITY, drift.score_edges(packaged())), norm)
    assert (found.verdict, found.recent.alarm_rate) == ("not enough yet", None)


def test_a_report_survives_json():
    made = report()
    assert drift.from_json(json.loads(json.dumps(asdict(made)))) == made
