import pytest
import torch

from models.functional.thresholds import next_larger, threshold_at_rate


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.1, 0.33, 0.5])
def test_at_most_the_share_reaches_the_threshold_and_hardly_fewer(rate):
    scores = torch.rand(97, generator=torch.Generator().manual_seed(0))
    reached = (scores >= threshold_at_rate(scores, rate)).sum()
    assert rate * 97 - 1 < reached <= rate * 97


def test_ties_stay_below():
    assert not (torch.ones(10) >= threshold_at_rate(torch.ones(10), 0.3)).any()


def test_infinite_scores_count():
    scores = torch.tensor([1.0, 2.0, torch.inf, torch.inf])
    assert 2 < threshold_at_rate(scores, 0.5) < 2.1
    assert threshold_at_rate(scores, 0.25) == torch.inf


def test_the_next_larger_number_is_hardly_larger():
    one = torch.tensor(1.0)
    assert next_larger(one) > one
    assert next_larger(one) - one < 2e-7
