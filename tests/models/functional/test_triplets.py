import pytest
import torch
from torch.nn.functional import normalize

from models.functional.triplets import (
    at_random,
    cosine_distances,
    hardest,
    num_in_order,
    ranking_losses,
)


@pytest.fixture
def pairs():
    draw = torch.Generator().manual_seed(0)
    return tuple(normalize(torch.randn(5, 3, generator=draw), dim=1) for _ in range(2))


def test_distances_are_those_of_angles():
    east, north = torch.tensor([[1.0, 0]]), torch.tensor([[0.0, 1]])
    found = [cosine_distances(east, other).item() for other in (east, north, -east)]
    assert found == [0, 1, 2]


def test_losses_are_those_of_a_loop(pairs):
    anchor, positive = pairs
    losses = ranking_losses(anchor, positive, 0.5)
    for row in range(5):
        others = [column for column in range(5) if column != row]
        for place, column in enumerate(others):
            near, far = 1 - anchor[row] @ positive[row], 1 - anchor[row] @ positive[column]
            assert losses[row, place].item() == pytest.approx(max(0, (near - far + 0.5).item()))


def test_losses_do_not_depend_on_a_rotation(pairs):
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1))).Q
    turned = (each @ turn for each in pairs)
    torch.testing.assert_close(ranking_losses(*turned, 0.5), ranking_losses(*pairs, 0.5))


def test_the_hardest_are_the_largest():
    losses = torch.tensor([[1.0, 3, 2], [0, 0, 5]])
    assert hardest(losses, 2).tolist() == [[3, 2], [5, 0]]
    assert hardest(losses, 9).shape == (2, 3)


def test_random_negatives_are_drawn_once_each_by_the_seed():
    losses = torch.arange(12.0).view(2, 6)
    draws = [at_random(losses, 4, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    for row, drawn in zip(losses, draws[0], strict=True):
        assert len(set(drawn.tolist()) & set(row.tolist())) == 4


def test_triplets_in_order_are_counted():
    anchor = normalize(torch.tensor([[1.0, 0], [0, 1], [2, 1]]), dim=1)
    assert num_in_order(anchor, anchor) == 6
    assert num_in_order(anchor, anchor.flip(0)) == 4
    same = torch.ones(4, 1)
    assert num_in_order(same, same) == 0
