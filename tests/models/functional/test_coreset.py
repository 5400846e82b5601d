import pytest
import torch

from models.errors import InvalidInputError
from models.functional import coreset
from models.functional.coreset import greedy_coreset


def points(num, dim, seed=0):
    return torch.randn(num, dim, generator=torch.Generator().manual_seed(seed))


def one_by_one(given, num):
    """The loop as the paper has it."""
    away = (given - given.mean(dim=0)).norm(dim=1)
    chosen = [int(away.argmax())]
    nearest = (given - given[chosen[0]]).norm(dim=1)
    while len(chosen) < num:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (given - given[chosen[-1]]).norm(dim=1))
    return chosen


@pytest.mark.parametrize("candidates", [2, 7, 64, 10_000])
def test_it_chooses_what_the_plain_loop_does(monkeypatch, candidates):
    monkeypatch.setattr(coreset, "CANDIDATES", candidates)
    monkeypatch.setattr(coreset, "AT_ONCE", 500)
    given = points(400, 5).double()
    assert greedy_coreset(given, 90).tolist() == one_by_one(given, 90)


def test_by_hand_on_a_line():
    given = torch.tensor([[0.0], [1.0], [2.0], [9.0], [10.0]])
    assert greedy_coreset(given, 3).tolist() == [4, 0, 2]


def test_the_order_of_the_points_does_not_matter():
    given = points(300, 4)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    chosen, other = greedy_coreset(given, 20), order[greedy_coreset(given[order], 20)]
    assert chosen.tolist() == other.tolist()


def test_copies_are_chosen_once():
    given = points(6, 3).repeat(4, 1)
    assert sorted((greedy_coreset(given, 24) % 6).tolist()) == list(range(6))


def test_rare_points_are_kept_that_a_random_sample_would_miss():
    given = torch.cat([points(2000, 8), points(3, 8, 1) + 20])
    assert {2000, 2001, 2002} & set(greedy_coreset(given, 5).tolist())
    assert torch.cdist(given, given[greedy_coreset(given, 100)]).amin(dim=1).max() < 4


@pytest.mark.parametrize(("num", "count"), [(0, 4), (3, 0)])
def test_nothing_to_choose_is_refused(num, count):
    with pytest.raises(InvalidInputError, match=f"got {num} of {count}"):
        greedy_coreset(points(count, 2), num)
