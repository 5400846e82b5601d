import pytest
import torch

from models.errors import InvalidInputError
from models.functional.mean_frames import mean_frames, temporal_basis
from models.functional.shared_frames import windows_of


def test_six_frames_become_the_means_of_pairs_oldest_first():
    images = torch.tensor([0.0, 2.0, 4.0, 8.0, 1.0, 5.0])[None, :, None, None].expand(2, 6, 3, 4)
    assert mean_frames(images)[1, :, 2, 3].tolist() == [1.0, 6.0, 3.0]


def test_windows_that_share_frames_get_the_same_mean_frames():
    windows = windows_of(torch.rand(9, 4, 5), 6)
    found = mean_frames(windows, black=0.5)
    assert torch.equal(found, mean_frames(windows.contiguous()) - 0.5)
    assert found.data_ptr() == found[:, 1:].data_ptr() - 2 * 20 * found.element_size()
    assert torch.equal(found[1, 1], found[3, 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_stills_get_the_same_black(channels):
    images = torch.rand(2, channels, 3, 4)
    assert torch.equal(mean_frames(images, black=0.5), mean_frames(images) - 0.5)


def test_one_gray_channel_is_repeated():
    images = torch.rand(2, 1, 3, 4)
    assert torch.equal(mean_frames(images), images.repeat(1, 3, 1, 1))


def test_colours_pass():
    images = torch.rand(2, 3, 3, 4)
    assert torch.equal(mean_frames(images), images)


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(InvalidInputError, match="channels, got 4"):
        mean_frames(torch.rand(2, 4, 3, 4))


def test_the_temporal_basis_is_mean_velocity_acceleration():
    frames = torch.tensor([1.0, 2.0, 6.0])[None, :, None, None]
    assert temporal_basis(frames).flatten().tolist() == [3.0, 5.0, 3.0]


def test_a_still_scene_does_not_move():
    frames = torch.rand(1, 1, 4, 4).expand(1, 3, 4, 4)
    assert temporal_basis(frames)[:, 1:].abs().max() < 1e-6
