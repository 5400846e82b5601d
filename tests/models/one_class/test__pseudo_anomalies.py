import pytest
import torch
from torch import Generator

from models.one_class._pseudo_anomalies import overlaid, pseudo_anomalies, turned, warped


def draw():
    return Generator().manual_seed(0)


def smooth(num):
    along = torch.linspace(0, 1, 16)
    return (along[:, None] * along).expand(num, 2, 16, 16).contiguous()


def test_a_turned_patch_keeps_its_values_in_one_of_five_other_orders():
    patch = torch.arange(16.0).view(1, 1, 4, 4)
    found = {tuple(it.flatten().tolist()) for it in turned(patch.expand(100, 1, 4, 4), draw())}
    assert len(found) == 5
    assert tuple(patch.flatten().tolist()) not in found
    assert all(sorted(values) == patch.flatten().tolist() for values in found)


def test_a_warped_patch_differs_but_has_no_values_of_its_own():
    patches = smooth(50)
    found = warped(patches, draw())
    assert found.shape == patches.shape
    assert found.min() >= 0
    assert found.max() <= patches.max() + 1e-6
    assert ((found - patches).abs().amax(dim=(1, 2, 3)) > 0.05).all()
    torch.testing.assert_close(found[:, 0], found[:, 1])  # channels are bent alike


def test_a_constant_patch_stays_so_where_it_reaches_itself():
    inner = warped(torch.ones(200, 1, 16, 16), draw())[..., 7:9, 7:9]
    assert inner.median() == pytest.approx(1, abs=1e-5)


def test_of_two_patches_what_stands_out_from_the_ground_is_kept():
    ground = torch.full((1, 1, 3, 3), 0.5)
    one, other = ground.clone(), ground.clone()
    one[..., 0, 0], one[..., 1, 1] = 0.9, 0.4
    other[..., 2, 2], other[..., 1, 1] = 0.1, 0.8
    expected = ground.clone()
    expected[..., 0, 0], expected[..., 2, 2], expected[..., 1, 1] = 0.9, 0.1, 0.8
    assert torch.equal(overlaid(one, other), expected)


@pytest.mark.parametrize(("turning", "num_turned"), [(False, 0), (True, 4)])
def test_each_kind_makes_an_equal_part_and_turning_can_be_left_out(turning, num_turned):
    patches = smooth(12)
    found = pseudo_anomalies(patches, draw(), turning=turning)
    assert found.shape == patches.shape
    values = patches[0].flatten().sort().values
    same = [torch.equal(it.flatten().sort().values, values) for it in found]
    assert same == [True] * num_turned + [False] * (12 - num_turned)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_few_patches_are_enough(number):
    assert pseudo_anomalies(smooth(number), draw(), turning=True).shape == (number, 2, 16, 16)


def test_the_same_draws_give_the_same_patches():
    assert torch.equal(*(pseudo_anomalies(smooth(6), draw(), turning=True) for _ in range(2)))
