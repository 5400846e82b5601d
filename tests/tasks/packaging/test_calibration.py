import numpy as np
import pytest

from models.errors import InvalidInputError
from tasks.packaging.calibration import Calibration

SCORES = np.array([1.0, 2.0, 3.0, 4.0, 10.0, 20.0])


@pytest.fixture
def calibration():
    """A clip of four frames and one of two."""
    clip = np.array([0, 0, 0, 0, 1, 1])
    return Calibration(image_score=SCORES, clip=clip, region_score=SCORES / 2)


def test_frames_are_judged_by_clips(calibration):
    assert calibration.num_clips == 2
    assert calibration.smallest_p_value == 1 / 3
    found = calibration.p_values(np.array([3.0, 99.0]))
    assert found.tolist() == pytest.approx([2.5 / 3, 1 / 3])
    assert calibration.clip_p_value(np.array([3.5, 0.0])) == pytest.approx((1 + 1 / 3 + 1) / 3)


def test_regions_are_compared_with_the_largest_of_normal_frames(calibration):
    assert calibration.region_p_values(np.array([1.5])).tolist() == pytest.approx([2.5 / 3])
    silent = Calibration(image_score=SCORES, clip=np.arange(6))
    with pytest.raises(InvalidInputError, match="no anomaly map"):
        silent.region_p_values(np.array([1.5]))


def test_thresholds_agree_with_p_values(calibration):
    threshold = calibration.threshold(0.5)
    below, at = calibration.p_values(np.array([np.nextafter(threshold, 0), threshold]))
    assert at <= 0.5 < below


def test_left_out_clips_tell_what_the_threshold_is_worth(calibration):
    # The threshold 10 is reached by a third: without the first clip by none of its frames.
    assert calibration.rates_on_left_out_clips(10.0).tolist() == [0.0, 1.0]


def test_averages_stay_within_their_clip_and_get_a_threshold_of_their_own(calibration):
    averaged, threshold = calibration.averaged(2, 10.0)
    assert averaged.image_score.tolist() == [1, 1.5, 2.5, 3.5, 10, 15]
    assert threshold == 10.0  # reached by two scores before and after
    assert calibration.averaged(2, 2.0)[1] == 2.0  # reached by five before, by four after
    assert averaged.region_score is calibration.region_score
    assert calibration.averaged(1, 10.0) == (calibration, 10.0)
