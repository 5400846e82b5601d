import pytest
import torch

from models.functional.thresholds import above, agreeing, exceeded_by


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


def test_agreeing_scores_follow_the_decision_and_keep_their_order():
    score = torch.linspace(0, 300, 3001)
    for decision in (True, False):
        moved = agreeing(score, torch.full_like(score, decision, dtype=torch.bool))
        assert ((moved >= 1) == decision).all()
        assert (moved.diff() > 0)[: None if decision else 1000].all()
        same = (score >= 1) == decision
        torch.testing.assert_close(moved[same], score[same], rtol=0.01, atol=0.01)


def test_agreeing_scores_stay_below_one_however_large_they_are():
    assert agreeing(torch.tensor([1e30, torch.inf]), torch.tensor([False, False])).max() < 1
