import torch
from scipy import ndimage

from models.functional.smoothing import interpolation, neighbourhood_mean


def test_the_mean_is_over_the_pixels_that_exist():
    values = torch.tensor([[[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]]])
    expected = torch.tensor([[[2.5, 4.0, 5.0], [2.5, 4.0, 5.0]]])
    torch.testing.assert_close(neighbourhood_mean(values, 3), expected)


def test_a_side_of_one_changes_nothing():
    values = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(neighbourhood_mean(values, 1), values)


def test_interpolation_is_bilinear_then_gaussian():
    cells = torch.rand(1, 1, 5, 7, generator=torch.Generator().manual_seed(0))
    linear = torch.nn.functional.interpolate(cells, size=(40, 56), mode="bilinear")[0, 0]
    found = interpolation(5, 40, 0.0) @ cells[0, 0] @ interpolation(7, 56, 0.0).mT
    torch.testing.assert_close(found, linear)
    smooth = interpolation(5, 40, 2.0) @ cells[0, 0] @ interpolation(7, 56, 2.0).mT
    expected = ndimage.gaussian_filter(linear.double().numpy(), 2.0, mode="mirror", truncate=4)
    torch.testing.assert_close(smooth.double(), torch.from_numpy(expected), rtol=0, atol=1e-6)


def test_interpolation_keeps_a_constant():
    for sigma in (0.0, 3.0, 50.0):
        ones = interpolation(4, 24, sigma) @ torch.ones(4)
        torch.testing.assert_close(ones, torch.ones(24))
