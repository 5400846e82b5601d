import pytest
import torch

from models.encoders.small import SmallTrunk, pooled
from models.errors import InvalidInputError


def test_a_cell_sees_its_receptive_field_and_nothing_else():
    trunk = SmallTrunk.Config(width=4).build().double().eval()
    images = torch.rand(1, 1, 40, 40, dtype=torch.float64, requires_grad=True)
    feature_map = trunk(images)
    assert feature_map.shape == (1, trunk.embedding_dim, 10, 10)
    feature_map[0, :, 5, 4].sum().backward()
    seen = images.grad[0, 0].nonzero()
    top, left, bottom, right = trunk.receptive_field.box(5, 4, 40, 40)
    assert seen.min(dim=0).values.ge(torch.tensor([top, left])).all()
    assert seen.max(dim=0).values.lt(torch.tensor([bottom, right])).all()
    assert trunk.receptive_field.size == bottom - top == 18


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_takes_gray_colours_and_clips(channels):
    trunk = SmallTrunk.Config(width=2).build()
    assert pooled(trunk(torch.rand(2, channels, 28, 28))).shape == (2, 8)


def test_too_small_an_image_and_no_width_are_refused():
    with pytest.raises(InvalidInputError, match="at least 8 x 8 pixels, got 7 x 28"):
        SmallTrunk.Config().build()(torch.rand(1, 1, 7, 28))
    with pytest.raises(InvalidInputError, match="width must be >= 1, got 0"):
        SmallTrunk.Config(width=0)
