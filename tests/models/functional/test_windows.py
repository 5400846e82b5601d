import pytest
import torch
from torch.nn import functional

from models.functional.windows import block_mean, window_mean


@pytest.mark.parametrize("side", [1, 3, 5, 7, 9])
def test_it_is_average_pooling(side):
    values = torch.rand(2, 3, 11, 14, generator=torch.Generator().manual_seed(0))
    expected = functional.avg_pool2d(values, side, 1, side // 2, count_include_pad=False)
    torch.testing.assert_close(window_mean(values, side), expected)


def test_a_window_larger_than_the_map_takes_all_of_it():
    values = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert (window_mean(values, 7) == 3.0).all()


@pytest.mark.parametrize("side", [1, 2, 4, 5])
def test_blocks_are_average_pooling_also_where_the_edge_cuts_them(side):
    values = torch.rand(2, 3, 12, 20, generator=torch.Generator().manual_seed(0))
    expected = functional.avg_pool2d(values, side, ceil_mode=True)
    torch.testing.assert_close(block_mean(values, side), expected)


def test_blocks_of_overlapping_windows_of_frames_are_not_copied():
    frames = torch.rand(9, 8, 12, generator=torch.Generator().manual_seed(0))
    view = frames.unfold(0, 6, 1).permute(0, 3, 1, 2)
    torch.testing.assert_close(block_mean(view, 4), block_mean(view.contiguous(), 4))
