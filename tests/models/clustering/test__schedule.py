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
        ({"tolerance": -0.1}, "tolerance and peak_rate must be >= 0, got -0.1"),
        ({"shift": 0.5}, r"shift must be in \[0, 0.5\)"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        Schedule(**changes)
