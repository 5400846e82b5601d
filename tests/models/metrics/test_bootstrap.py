import numpy as np
import pytest

from models.errors import InvalidInputError
from models.metrics import bootstrap


def test_whole_clips_are_drawn():
    clips = np.array(["a", "b", "a", "c", "b", "b"])
    weights = bootstrap.resamples(clips, 50, seed=0)
    assert weights.shape == (50, 6)
    assert np.array_equal(weights[:, 0], weights[:, 2])
    assert np.array_equal(weights[:, 1], weights[:, 5])
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert len(np.unique(weights, axis=0)) > 5


def test_the_same_seed_draws_the_same():
    clips = np.arange(20)
    assert np.array_equal(bootstrap.resamples(clips, 5, 1), bootstrap.resamples(clips, 5, 1))
    assert not np.array_equal(bootstrap.resamples(clips, 5, 1), bootstrap.resamples(clips, 5, 2))


def test_the_summary_by_hand():
    found = bootstrap.summarized(np.array([-1.0, 0.0, 1.0, 2.0, 3.0]), confidence=0.75)
    assert found == bootstrap.Difference(mean=1.0, lower_bound=0.0, share_worse=0.2)


def test_terms_out_of_range_are_refused():
    with pytest.raises(InvalidInputError, match="num_resamples must be >= 1, got 0"):
        bootstrap.resamples(np.arange(3), 0, 0)
    with pytest.raises(InvalidInputError, match=r"confidence must be in \(0, 1\), got 1.0"):
        bootstrap.summarized(np.zeros(3), 1.0)
