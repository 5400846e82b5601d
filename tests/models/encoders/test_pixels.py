import pytest
import torch

from models.encoders.pixels import Pixels
from models.errors import InvalidInputError


def test_a_pixel_is_its_own_feature():
    images = torch.rand(2, 3, 5, 7)
    encoder = Pixels.Config(channels=3).build()
    assert torch.equal(encoder(images), images)
    assert encoder.embedding_dim == 3
    assert encoder.receptive_field.box(4, 6, 5, 7) == (4, 6, 5, 7)
    assert not encoder.state_dict()


def test_other_channels_are_refused():
    with pytest.raises(InvalidInputError, match="must have 1 channels, got 3"):
        Pixels.Config().build()(torch.rand(1, 3, 4, 4))
    with pytest.raises(InvalidInputError, match="channels must be >= 1, got 0"):
        Pixels.Config(channels=0)
