import pytest
import torch

from models.encoders.slim import SlimTrunk
from models.errors import InvalidInputError
from models.functional.mean_frames import mean_frames, temporal_basis


def test_a_cell_sees_its_receptive_field_and_nothing_else():
    trunk = SlimTrunk.Config(width=4).build().double().eval()
    images = torch.rand(1, 6, 96, 96, dtype=torch.float64, requires_grad=True)
    feature_map = trunk(images)
    assert feature_map.shape == (1, trunk.embedding_dim, 12, 12) == (1, 8, 12, 12)
    feature_map[0, :, 5, 6].sum().backward()
    seen = images.grad[0].abs().sum(dim=0).nonzero()
    top, left, bottom, right = trunk.receptive_field.box(5, 6, 96, 96)
    assert seen.min(dim=0).values.ge(torch.tensor([top, left])).all()
    assert seen.max(dim=0).values.lt(torch.tensor([bottom, right])).all()
    assert trunk.receptive_field.size == bottom - top == 29


def test_the_first_layer_sees_mean_velocity_and_acceleration():
    trunk = SlimTrunk.Config(width=4, motion_gain=7.0).build().eval()
    images = torch.rand(2, 6, 40, 40)
    mean, velocity, acceleration = temporal_basis(mean_frames(images)).unbind(dim=1)
    seen = torch.stack([2 * mean - 1, 7 * velocity, 7 * acceleration], dim=1)
    torch.testing.assert_close(trunk(images), trunk.rest(trunk.first(seen)), rtol=1e-4, atol=1e-4)


def test_a_still_scene_has_no_velocity():
    trunk = SlimTrunk.Config(width=4).build().eval()
    frame = torch.rand(1, 1, 40, 40)
    with torch.no_grad():
        trunk.first.weight[:, 1:] += 1
        still = trunk(frame.expand(1, 6, 40, 40))
        trunk.first.weight[:, 1:] = 0
    torch.testing.assert_close(trunk(frame.expand(1, 6, 40, 40)), still, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_takes_gray_colours_and_clips(channels):
    trunk = SlimTrunk.Config(width=2).build()
    assert trunk(torch.rand(2, channels, 28, 36)).shape == (2, 4, 4, 5)


def test_too_small_an_image_and_settings_out_of_range_are_refused():
    with pytest.raises(InvalidInputError, match="at least 8 x 8 pixels, got 7 x 28"):
        SlimTrunk.Config().build()(torch.rand(1, 1, 7, 28))
    with pytest.raises(InvalidInputError, match="width must be >= 1"):
        SlimTrunk.Config(width=0)
    with pytest.raises(InvalidInputError, match="motion_gain > 0"):
        SlimTrunk.Config(motion_gain=0.0)
