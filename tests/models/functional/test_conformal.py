import numpy as np
import pytest
from scipy.stats import false_discovery_control

from models.errors import InvalidInputError
from models.functional.conformal import (
    clip_p_value,
    discovery_q_values,
    p_values,
    rates_on_left_out_clips,
    smallest_p_value,
    threshold_at,
)


def test_counts_calibration_scores_that_are_at_least_as_high():
    calibration = np.array([3.0, 1.0, 2.0, 2.0])
    scores = np.array([0.0, 2.0, 2.5, 9.0])
    assert p_values(scores, calibration).tolist() == [1.0, 0.8, 0.4, 0.2]


def test_false_alarms_stay_below_the_level_on_normal_scores():
    draw = np.random.default_rng(0)
    rates = [(p_values(draw.normal(size=50), draw.normal(size=99)) <= 0.1) for _ in range(400)]
    assert np.concatenate(rates).mean() == pytest.approx(0.1, abs=0.01)


def test_no_calibration_scores_are_refused():
    with pytest.raises(InvalidInputError, match="got none"):
        p_values(np.zeros(1), np.zeros(0))


def test_nan_is_refused():
    with pytest.raises(InvalidInputError, match="NaN"):
        p_values(np.array([np.nan]), np.zeros(3))


CALIBRATION = np.array([1.0, 2.0, 3.0, 4.0, 10.0, 20.0])
CLIPS = np.array([0, 0, 0, 0, 1, 1])


def test_a_clip_counts_once_however_many_frames_it_has():
    # One clip of four frames, one of two: (1 + share + share) / 3.
    scores = np.array([0.0, 3.0, 10.0, 15.0, 30.0])
    expected = [3 / 3, (1 + 0.5 + 1) / 3, (1 + 0 + 1) / 3, (1 + 0 + 0.5) / 3, 1 / 3]
    assert p_values(scores, CALIBRATION, CLIPS).tolist() == pytest.approx(expected)
    repeated = p_values(scores, np.tile(CALIBRATION, 3), np.tile(CLIPS, 3))
    assert repeated.tolist() == pytest.approx(expected)


def test_clips_of_one_frame_are_the_plain_case():
    draw = np.random.default_rng(0)
    scores, calibration = draw.normal(size=50), draw.normal(size=19)
    plain = p_values(scores, calibration)
    np.testing.assert_allclose(p_values(scores, calibration, np.arange(19)), plain)


def fresh(draw, num_clips, num_frames):
    """Scores of clips whose frames are nearly the same."""
    levels = draw.normal(size=(num_clips, 1))
    return levels + 0.1 * draw.normal(size=(num_clips, num_frames))


def alarm_rates(rate, repetitions=400, num_clips=19, num_frames=25):
    """Mean share of frames with p <= rate in a new clip: by frames, and by clips."""
    draw = np.random.default_rng(0)
    clips = np.repeat(np.arange(num_clips), num_frames)
    found = []
    for _ in range(repetitions):
        calibration, new = fresh(draw, num_clips, num_frames), fresh(draw, 1, num_frames)[0]
        pooled = p_values(new, calibration.flatten())
        blocked = p_values(new, calibration.flatten(), clips)
        whole = clip_p_value(new, calibration.flatten(), clips)
        found.append(
            [
                (pooled <= rate).mean(),
                (blocked <= rate).mean(),
                float(whole <= rate),
            ]
        )
    return np.array(found).mean(axis=0)


def test_the_rate_holds_for_new_clips_whose_frames_are_alike():
    # 3 standard errors of 400 repetitions at most above the rate.
    rate, slack = 0.1, 3 * (0.1 * 0.9 / 400) ** 0.5
    _, blocked, whole = alarm_rates(rate).tolist()
    assert blocked <= rate + slack
    assert whole <= rate + slack
    assert blocked >= rate - 0.05 - slack


def test_few_clips_break_the_rate_of_pooled_frames_and_not_that_of_clips():
    pooled, blocked, _ = alarm_rates(0.05, num_clips=3).tolist()
    assert pooled > 0.15
    assert blocked == 0


def test_the_threshold_is_where_p_values_pass_the_rate():
    draw = np.random.default_rng(0)
    calibration, clips = draw.normal(size=60), np.arange(60) // 3
    for rate in (0.05, 0.1, 0.5):
        threshold = threshold_at(rate, calibration, clips)
        at = p_values(np.array([threshold]), calibration, clips)
        below = np.nextafter(np.array([threshold]), -9.0)
        assert at <= rate < p_values(below, calibration, clips)


def test_a_rate_that_too_few_clips_can_vouch_for_is_refused():
    assert smallest_p_value(19) == 0.05
    with pytest.raises(InvalidInputError, match="needs 19 calibration clips, and there are 2"):
        threshold_at(0.05, CALIBRATION, CLIPS)
    with pytest.raises(InvalidInputError, match=r"in \(0, 1\), got 1.5"):
        threshold_at(1.5, CALIBRATION, CLIPS)


def test_a_clip_is_compared_with_equally_many_frames():
    # Windows of two frames: of the first clip maxima 2, 3, 4; of the second 20.
    assert clip_p_value(np.array([0.0, 3.5]), CALIBRATION, CLIPS) == pytest.approx(
        (1 + 1 / 3 + 1) / 3
    )
    # Three frames are two blocks; the best of them has p = 1/3, twice that is 2/3.
    longer = np.array([0.0, 1.0, 30.0])
    assert clip_p_value(longer, CALIBRATION, CLIPS) == pytest.approx(2 / 3)
    with pytest.raises(InvalidInputError, match="at least one"):
        clip_p_value(np.zeros(0), CALIBRATION, CLIPS)


@pytest.mark.parametrize(("dependent", "method"), [(False, "bh"), (True, "by")])
def test_false_discovery_rates_agree_with_scipy(dependent, method):
    p = np.random.default_rng(0).uniform(size=40) ** 3
    found = discovery_q_values(p, dependent=dependent)
    assert found.tolist() == pytest.approx(false_discovery_control(p, method=method))
    shuffled = np.random.default_rng(1).permutation(40)
    assert np.array_equal(discovery_q_values(p[shuffled], dependent=dependent), found[shuffled])


def test_left_out_clips_tell_what_a_threshold_is_worth():
    # Without the first clip the threshold lies above 10; without the second, above 3.
    found = rates_on_left_out_clips(CALIBRATION, CLIPS, 0.25)
    assert found.tolist() == [0.0, 1.0]
    assert len(rates_on_left_out_clips(CALIBRATION, np.zeros(6, dtype=np.int64), 0.25)) == 0
