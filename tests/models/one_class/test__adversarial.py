import pytest
import torch

from models.one_class._adversarial import Discriminator, Refiner, sides


@pytest.mark.parametrize(("patch", "depth"), [(8, 1), (28, 3), (30, 4), (45, 4)])
def test_a_refined_patch_has_the_size_and_range_of_the_patch(patch, depth):
    refiner = Refiner(2, 4, patch, depth).eval()
    refined = refiner(torch.rand(3, 2, patch, patch))
    assert refined.shape == (3, 2, patch, patch)
    assert refined.min() > 0
    assert refined.max() < 1


def test_a_patch_is_judged_by_one_number_that_depends_on_all_of_it():
    judge = Discriminator(1, 4, 28, 3).eval()
    patch = torch.rand(1, 1, 28, 28, requires_grad=True)
    logit = judge(patch)
    assert logit.shape == (1,)
    (gradient,) = torch.autograd.grad(logit.sum(), patch)
    assert (gradient != 0).all()


def test_each_layer_halves_the_side_rounding_up():
    assert sides(45, 4) == [45, 23, 12, 6, 3]
