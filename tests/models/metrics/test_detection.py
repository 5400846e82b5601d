import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models.errors import InvalidInputError
from models.metrics import detection


@pytest.fixture
def random():
    return np.random.default_rng(0)


def truth_and_scores(random, num=200, gap=1.0):
    anomalous = random.random(num) < 0.4
    return anomalous, random.normal(size=num) + gap * anomalous


def test_perfect_scores():
    anomalous, scores = np.array([False, False, True]), np.array([0.1, 0.2, 0.9])
    assert detection.auc(anomalous, scores) == 1
    assert detection.equal_error_rate(anomalous, scores) == 0


def test_equal_errors_by_hand():
    # From 3 down, one of four normal images is a false alarm and one of four anomalous is missed.
    scores = np.array([0.0, 1.0, 2.0, 4.0, 1.5, 3.0, 5.0, 6.0])
    anomalous = np.array([False] * 4 + [True] * 4)
    assert detection.equal_error_rate(anomalous, scores) == 0.25
    assert detection.auc(anomalous, scores) == 13 / 16


def test_at_the_equal_error_rate_the_worse_error_is_least(random):
    curve = detection.roc(*truth_and_scores(random))
    worse_error = np.maximum(curve.false_positive_rate, 1 - curve.true_positive_rate)
    assert curve.equal_error_rate == pytest.approx(worse_error.min(), abs=0.01)


def test_equal_scores_are_chance():
    anomalous = np.array([True, False, True, False])
    assert detection.auc(anomalous, np.ones(4)) == 0.5
    assert detection.equal_error_rate(anomalous, np.ones(4)) == 0.5


def test_only_the_order_of_scores_counts(random):
    anomalous, scores = truth_and_scores(random)
    assert detection.auc(anomalous, np.exp(scores)) == detection.auc(anomalous, scores)


def test_the_area_of_the_curve_is_the_auc(random):
    anomalous, scores = truth_and_scores(random)
    assert detection.roc(anomalous, scores).area == pytest.approx(detection.auc(anomalous, scores))


def test_false_alarms_count_normal_images_only():
    anomalous = np.array([False, False, False, False, True])
    scores = np.array([0.0, 1.0, 2.0, 0.5, 9.0])
    assert detection.false_alarm_rate(anomalous, scores, 1.0) == 0.5
    assert np.isnan(detection.false_alarm_rate(anomalous[4:], scores[4:], 1.0))


def naive_pixel_rates(maps, masks, threshold):
    flagged = maps >= threshold
    found = [(f & m).sum() >= 0.4 * m.sum() for f, m in zip(flagged, masks, strict=True) if m.any()]
    alarms = [f.any() for f, m in zip(flagged, masks, strict=True) if not m.any()]
    return np.mean(alarms), np.mean(found)


def test_pixel_level_scores_match_the_criterion_at_every_threshold(random):
    masks = np.zeros((30, 6, 7), bool)
    for frame in range(0, 30, 2):
        masks[frame].flat[random.choice(42, random.integers(1, 20), replace=False)] = True
    maps = random.random((30, 6, 7)) + 0.3 * masks
    halves = (slice(0, 11), slice(11, 30))
    scores = np.concatenate([detection.pixel_level_scores(maps[h], masks[h]) for h in halves])
    anomalous = masks.any(axis=(1, 2))
    for threshold in np.unique(maps)[::37]:
        flagged = scores >= threshold
        rates = flagged[~anomalous].mean(), flagged[anomalous].mean()
        assert rates == naive_pixel_rates(maps, masks, threshold)


def test_two_of_five_pixels_are_enough():
    maps = np.array([[[0.9, 0.8, 0.3, 0.2, 0.1, 1.0]]])
    masks = np.array([[[True, True, True, True, True, False]]])
    assert detection.pixel_level_scores(maps, masks).tolist() == [0.8]


def test_without_masks_every_frame_is_normal():
    maps = np.array([[[0.9, 0.8]], [[0.1, 0.3]]])
    assert detection.pixel_level_scores(maps, None).tolist() == [0.9, 0.3]


def test_streamed_pixel_auroc_matches_scikit_learn(random):
    maps = random.normal(size=(20, 16, 16)).astype(np.float32)
    masks = random.random((20, 16, 16)) < 0.1
    maps[masks] += 1
    pixels = detection.PixelRoc()
    for part in (slice(0, 3), slice(3, 20)):
        pixels.update(maps[part], masks[part])
    expected = roc_auc_score(masks.ravel(), maps.ravel())
    assert pixels.auroc() == pytest.approx(expected, abs=1e-3)


def test_pixel_auroc_without_anomalous_pixels_is_nan():
    pixels = detection.PixelRoc()
    pixels.update(np.zeros((1, 2, 2), np.float32), None)
    assert np.isnan(pixels.auroc())


def clips_of(num, length=20):
    return np.repeat(np.arange(num // length).astype(str), length)


def test_a_worse_challenger_is_told(random):
    anomalous, champion = truth_and_scores(random, 400, gap=2)
    challenger = champion + random.normal(size=400) * 3
    found = detection.auc_difference(anomalous, champion, challenger, clips_of(400))
    assert found.mean == pytest.approx(
        detection.auc(anomalous, challenger) - detection.auc(anomalous, champion), abs=0.01
    )
    assert found.lower_bound < found.mean < 0
    assert found.share_worse > 0.95


def test_equal_models_differ_by_nothing(random):
    anomalous, scores = truth_and_scores(random)
    found = detection.auc_difference(anomalous, scores, 2 * scores, clips_of(200))
    assert found == (0, 0, 0)


def test_ties_count_as_scikit_learn_counts_them(random):
    anomalous, scores = truth_and_scores(random)
    rounded, weights = scores.round(), random.integers(0, 4, (3, 200))
    for row, found in zip(
        weights, detection._weighted_auc(anomalous, rounded, weights), strict=True
    ):
        assert found == pytest.approx(roc_auc_score(anomalous, rounded, sample_weight=row))


def test_a_single_clip_is_still_compared(random):
    anomalous, scores = truth_and_scores(random)
    found = detection.auc_difference(anomalous, scores, -scores, np.full(200, "01"))
    assert found.mean == pytest.approx(1 - 2 * detection.auc(anomalous, scores))


def test_the_interval_of_an_auc_is_narrow_where_clips_are_many(random):
    anomalous, scores = truth_and_scores(random)
    value = detection.auc(anomalous, scores)
    alone = detection.auc_interval(anomalous, scores, np.arange(200))
    in_clips = detection.auc_interval(anomalous, scores, clips_of(200))
    assert alone[0] < value < alone[1]
    assert 0.02 < alone[1] - alone[0] < 0.25
    assert in_clips[0] < value < in_clips[1]
    assert detection.auc_interval(anomalous, scores, np.full(200, "01")) == (value, value)


def test_one_kind_of_image_is_refused():
    with pytest.raises(InvalidInputError, match="got 0 anomalous of 3"):
        detection.roc(np.zeros(3, bool), np.arange(3.0))


def test_nan_scores_are_refused():
    with pytest.raises(InvalidInputError, match="NaN"):
        detection.auc(np.array([True, False]), np.array([np.nan, 1.0]))


def test_a_confidence_of_one_is_refused(random):
    with pytest.raises(ValueError, match="confidence must be in"):
        detection.auc_difference(*truth_and_scores(random), *[np.zeros(200)] * 2, confidence=1.0)
