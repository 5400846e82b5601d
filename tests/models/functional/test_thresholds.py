import pytest
import torch

from models.functional.thresholds import above, exceeded_by


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.33, 0.5])
def test_at_most_the_share_reaches_the_threshold_and_hardly_fewer(share):
    scores = torch.rand(97, generator=torch.Generator().manual_seed(0))
    reached = (scores >= exceeded_by(scores, share)).sum()
    assert share * 97 - 1 < reached <= share * 97


def test_ties_stay_below():
    assert not (torch.ones(10) >= exceeded_by(torch.ones(10), 0.3)).any()


def test_infinite_scores_count():
    scores = torch.tensor([1.0, 2.0, torch.inf, torch.inf])
    assert 2 < exceeded_by(scores, 0.5) < 2.1
    assert exceeded_by(scores, 0.25) == torch.inf


def test_above_is_the_next_number():
    one = torch.tensor(1.0)
    assert above(one) > one
    assert above(one) - one < 2e-7
