import pytest
import torch
from torch import nn

from models.functional.masked_convolution import MaskedConv2d, causal_mask


def test_the_mask_is_that_of_the_paper():
    first = causal_mask(3, 3, 3, num_groups=3, see_itself=False)
    later = causal_mask(3, 3, 3, num_groups=3, see_itself=True)
    for mask in (first, later):
        assert mask[:, :, 0].eq(1).all()
        assert mask[:, :, 1, 0].eq(1).all()
        assert mask[:, :, 1, 2].eq(0).all()
        assert mask[:, :, 2].eq(0).all()
    assert first[:, :, 1, 1].tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    assert later[:, :, 1, 1].tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_no_output_depends_on_itself_or_what_comes_later():
    # Van den Oord's condition, by derivatives: pixels in raster order, colours within a pixel.
    torch.manual_seed(0)
    layers = nn.Sequential(
        MaskedConv2d(3, 6, 5, num_groups=3, see_itself=False),
        nn.Tanh(),
        MaskedConv2d(6, 6, 3, num_groups=3, see_itself=True),
        nn.Tanh(),
        MaskedConv2d(6, 3, 1, num_groups=3, see_itself=True),
    )

    def in_order(flat):
        image = flat.reshape(1, 4, 5, 3).permute(0, 3, 1, 2)
        return layers(image).permute(0, 2, 3, 1).flatten()

    derivatives = torch.autograd.functional.jacobian(in_order, torch.rand(60))
    assert derivatives.triu().eq(0).all()
    assert derivatives.diagonal(-1).ne(0).any()


@pytest.mark.parametrize(("inputs", "kernel"), [(4, 3), (3, 2)])
def test_sizes_that_do_not_fit_are_refused(inputs, kernel):
    with pytest.raises(ValueError, match="num_groups 3 and kernel odd"):
        causal_mask(inputs, 3, kernel, num_groups=3, see_itself=True)
