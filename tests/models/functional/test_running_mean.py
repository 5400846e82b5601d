import numpy as np
import pytest

from models.errors import InvalidInputError
from models.functional.running_mean import running_mean


def test_a_running_mean_is_over_the_frames_so_far():
    scores = np.array([3.0, 1.0, 2.0, 9.0, 0.0])
    assert running_mean(scores, 3).tolist() == pytest.approx([3, 2, 2, 4, 11 / 3])
    assert np.array_equal(running_mean(scores, 1), scores)
    assert running_mean(scores, 99)[-1].item() == pytest.approx(3)


def test_no_running_mean_depends_on_what_comes_later():
    scores = np.random.default_rng(0).uniform(size=20)
    np.testing.assert_allclose(running_mean(scores[:12], 5), running_mean(scores, 5)[:12])


def test_a_mean_over_no_frame_is_refused():
    with pytest.raises(InvalidInputError, match="at least 1, got 0"):
        running_mean(np.zeros(3), 0)
