import pytest
import torch

from models.functional.largest import merged, ranked


def descending(num, places=50, seed=0):
    values = torch.rand(num, places, generator=torch.Generator().manual_seed(seed))
    return list((values * 8).round().sort(dim=0, descending=True).values)


LENGTHS = [(1, 1), (1, 5), (4, 3), (8, 8), (9, 9), (9, 2), (13, 6)]


@pytest.mark.parametrize("num", [1, 3, 9, 40])
@pytest.mark.parametrize(("one", "other"), LENGTHS)
def test_merging_keeps_the_largest_of_all_values_in_order(one, other, num):
    lists = descending(one), descending(other, seed=1)
    expected = torch.stack([*lists[0], *lists[1]]).sort(dim=0, descending=True).values[:num]
    assert torch.equal(torch.stack(merged(*lists, num)), expected)


@pytest.mark.parametrize(("one", "other"), LENGTHS)
def test_every_rank_is_that_of_the_sorted_values(one, other):
    lists = descending(one), descending(other, seed=1)
    expected = torch.stack([*lists[0], *lists[1]]).sort(dim=0, descending=True).values
    for rank, values in enumerate(expected, start=1):
        assert torch.equal(ranked(*lists, rank), values)


def test_infinite_values_are_values():
    one, other = [torch.tensor([torch.inf]), torch.tensor([0.0])], [torch.tensor([-torch.inf])]
    assert torch.stack(merged(one, other, 3)).flatten().tolist() == [torch.inf, 0, -torch.inf]
    assert ranked(one, other, 3).item() == -torch.inf
