import pytest
import torch
from torch.nn import functional

from models.functional.windows import window_mean


@pytest.mark.parametrize("side", [1, 3, 5, 7, 9])
def test_it_is_average_pooling(side):
    values = torch.rand(2, 3, 11, 14, generator=torch.Generator().manual_seed(0))
    expected = functional.avg_pool2d(values, side, 1, side // 2, count_include_pad=False)
    torch.testing.assert_close(window_mean(values, side), expected)


def test_a_window_larger_than_the_map_takes_all_of_it():
    values = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert (window_mean(values, 7) == 3.0).all()
