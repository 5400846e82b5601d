import pytest

from models.clustering import Schedule
from models.errors import InvalidInputError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "must be >= 1, got 0"),
        ({"gamma": 0.0}, "gamma must be > 0"),
        ({"start": "random"}, "start must be one of k-means, spectral, got 'random'"),
        ({"start_rotation": -1.0}, r"start_rotation in \[0, 180\]"),
        ({"start_shift": 0.5}, r"start_shift must be in \[0, 0.5\)"),
        ({"tolerance": -0.1}, "tolerance, peak_rate and adoption must be >= 0, got -0.1"),
        ({"adoption": -1}, "adoption must be >= 0, got 0.001, 0.0 and -1"),
        ({"shift": 0.5}, r"shift and start_shift must be in \[0, 0.5\)"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        Schedule(**changes)
