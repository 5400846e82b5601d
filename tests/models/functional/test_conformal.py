import pytest
import torch

from models.errors import InvalidInputError
from models.functional.conformal import p_values


def test_counts_calibration_scores_that_are_at_least_as_high():
    calibration = torch.tensor([3.0, 1.0, 2.0, 2.0])
    scores = torch.tensor([0.0, 2.0, 2.5, 9.0])
    assert p_values(scores, calibration).tolist() == [1.0, 0.8, 0.4, 0.2]


def test_false_alarms_stay_below_the_level_on_normal_scores():
    draw = torch.Generator().manual_seed(0)
    rates = [
        (p_values(torch.randn(50, generator=draw), torch.randn(99, generator=draw)) <= 0.1)
        for _ in range(400)
    ]
    assert torch.cat(rates).double().mean() == pytest.approx(0.1, abs=0.01)


def test_no_calibration_scores_are_refused():
    with pytest.raises(InvalidInputError, match="got none"):
        p_values(torch.zeros(1), torch.zeros(0))


def test_nan_is_refused():
    with pytest.raises(InvalidInputError, match="NaN"):
        p_values(torch.tensor([torch.nan]), torch.zeros(3))
