import torch

from models.functional.smoothing import neighbourhood_mean


def test_the_mean_is_over_the_pixels_that_exist():
    values = torch.tensor([[[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]]])
    expected = torch.tensor([[[2.5, 4.0, 5.0], [2.5, 4.0, 5.0]]])
    torch.testing.assert_close(neighbourhood_mean(values, 3), expected)


def test_a_side_of_one_changes_nothing():
    values = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(neighbourhood_mean(values, 1), values)
