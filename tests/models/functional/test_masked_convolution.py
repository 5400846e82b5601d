import pytest
import torch
from torch import nn

from models.functional.masked_convolution import MaskedConv2d, ShiftedConv2d, causal_mask


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


@pytest.mark.parametrize(
    ("left", "dilation", "rows", "columns"),
    [(1, 1, [1, 2], [3, 4, 5]), (4, 2, [1, 3], [0, 2, 4])],
)
def test_a_shifted_convolution_sees_its_rectangle_and_nothing_else(left, dilation, rows, columns):
    images = torch.zeros(1, 1, 6, 7, requires_grad=True)
    layer = ShiftedConv2d(1, 1, (2, 3), top=2, left=left, dilation=dilation)
    torch.nn.init.ones_(layer.convolution.weight)
    output = layer(images)
    assert output.shape == images.shape
    (seen,) = torch.autograd.grad(output[0, 0, 3, 4], images)
    found = seen[0, 0].nonzero().T
    assert found[0].unique().tolist() == rows
    assert found[1].unique().tolist() == columns


def test_a_shifted_convolution_is_what_the_mask_leaves():
    torch.manual_seed(0)
    masked = MaskedConv2d(1, 2, 3, num_groups=1, see_itself=False)
    above = ShiftedConv2d(1, 2, (1, 3), top=1, left=1)
    before = ShiftedConv2d(1, 2, (1, 1), top=0, left=1)
    weight = masked.convolution.weight.detach()
    above.convolution.weight.data = weight[:, :, :1]
    before.convolution.weight.data = weight[:, :, 1:2, :1]
    above.convolution.bias.data = masked.convolution.bias.detach()
    before.convolution.bias.data.zero_()
    images = torch.rand(2, 1, 4, 5)
    torch.testing.assert_close(above(images) + before(images), masked(images))
