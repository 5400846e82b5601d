import numpy as np
import pytest
from scipy.stats import binomtest

from models.errors import InvalidInputError
from models.metrics.intervals import clopper_pearson, clustered_interval


@pytest.mark.parametrize("hits", [0, 1, 7, 19, 20])
def test_agrees_with_scipy(hits):
    expected = binomtest(hits, 20).proportion_ci(0.9, method="exact")
    found = clopper_pearson(hits, 20, 0.9)
    assert found == pytest.approx((expected.low, expected.high))


def test_no_hits_in_three_by_hand():
    # (1 - rate)^3 = 0.025 at the upper end.
    assert clopper_pearson(0, 3) == pytest.approx((0.0, 1 - 0.025 ** (1 / 3)))


@pytest.mark.parametrize("wrong", [(-1, 3), (4, 3), (0, 0), (1, 3, 1.0)])
def test_counts_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match="0 <= num_hits <= num_total"):
        clopper_pearson(*wrong)


def test_equal_frames_of_a_clip_count_as_few():
    clips = np.repeat(np.arange(10), 50)
    copies = np.repeat(np.arange(10) < 3, 50)
    low, high = clustered_interval(copies, clips)
    by_clips, by_frames = clopper_pearson(3, 10), clopper_pearson(150, 500)
    assert low < by_frames[0] < by_frames[1] < high
    assert (low, high) == pytest.approx(by_clips, abs=0.08)


def test_it_covers_the_rate_where_frames_alone_do_not():
    draw = np.random.default_rng(0)
    clips = np.repeat(np.arange(12), 40)
    covered = np.zeros(2)
    for _ in range(300):
        rates = draw.beta(0.5, 4.5, 12)  # a mean of 0.1, and clips that differ
        hits = draw.random(480) < np.repeat(rates, 40)
        for place, (low, high) in enumerate(
            (clustered_interval(hits, clips), clopper_pearson(int(hits.sum()), 480))
        ):
            covered[place] += low <= 0.1 <= high
    assert covered[0] / 300 > 0.88
    assert covered[1] / 300 < 0.75


def test_names_and_order_of_clips_do_not_matter():
    draw = np.random.default_rng(0)
    clips, hits = np.repeat(np.arange(6), 5), draw.random(30) < 0.3
    order = draw.permutation(30)
    names = np.array(list("abcdef"))[clips]
    expected = clustered_interval(hits, clips)
    assert clustered_interval(hits[order], names[order]) == pytest.approx(expected)


def test_nothing_can_be_told_from_one_clip_and_little_from_no_hits():
    assert clustered_interval(np.array([True, False]), np.zeros(2)) == (0.0, 1.0)
    none = np.zeros(100, bool)
    assert clustered_interval(none, np.repeat(np.arange(5), 20)) == clopper_pearson(0, 5)
