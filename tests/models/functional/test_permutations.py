import pytest
import torch

from models.errors import InvalidInputError
from models.functional.permutations import (
    are_inverse,
    hamming_distances,
    inverse,
    mean_distance,
    minimum_distance,
    permutation_set,
)


def test_every_row_is_a_permutation_and_no_two_are_equal():
    chosen = permutation_set(100)
    assert torch.equal(chosen.sort(dim=1).values, torch.arange(9).expand(100, 9))
    assert len(chosen.unique(dim=0)) == 100


def test_distances_agree_with_a_naive_loop():
    chosen = permutation_set(12, tiles=5)
    naive = [[sum(a != b for a, b in zip(p, q, strict=True)) for q in chosen] for p in chosen]
    assert hamming_distances(chosen).tolist() == naive
    pairs = [naive[i][j] for i in range(12) for j in range(i)]
    assert minimum_distance(chosen) == min(pairs)
    assert mean_distance(chosen) == pytest.approx(sum(pairs) / len(pairs))


@pytest.mark.parametrize(("num", "least"), [(9, 9), (30, 7), (65, 6), (100, 6)])
def test_permutations_of_the_set_are_far_apart(num, least):
    # The authors' set of 100 has a mean of 8.08 and a minimum of 2.
    chosen = permutation_set(num)
    assert minimum_distance(chosen) >= least
    assert mean_distance(chosen) > 8


def test_a_larger_set_begins_with_the_smaller_one_and_seeds_differ():
    assert torch.equal(permutation_set(40)[:9], permutation_set(9))
    assert torch.equal(permutation_set(9, seed=3), permutation_set(9, seed=3))
    assert not torch.equal(permutation_set(9, seed=3), permutation_set(9, seed=4))


def test_every_permutation_can_be_chosen():
    assert len(permutation_set(24, tiles=4).unique(dim=0)) == 24


def test_the_inverse_puts_every_tile_back():
    chosen = permutation_set(65)
    row = chosen[64]
    tiles = torch.rand(9, 4)
    assert torch.equal(tiles[row][inverse(row)], tiles)
    assert are_inverse(chosen, inverse(chosen)).all()
    assert are_inverse(inverse(chosen), chosen).all()
    assert are_inverse(chosen, chosen).sum() < 5


@pytest.mark.parametrize("wrong", [{"num": 0}, {"num": 25, "tiles": 4}, {"num": 3, "tiles": 10}])
def test_what_cannot_be_chosen_is_refused(wrong):
    with pytest.raises(InvalidInputError, match="must be in"):
        permutation_set(**wrong)
