import pytest
import torch
from torch.nn import functional

from models.functional.receptive_field import ReceptiveField
from models.functional.shared_frames import windows_of
from models.functional.speeds import BLOCK, NUM_SPEEDS, _at_centres, speeds
from tests.models.functional.clips import moving_square

FIELD = ReceptiveField(size=51, stride=8, offset=18)
"""Of AlexNet's second convolution."""


def clip(across, down=0, size=96):
    return moving_square(across, down, side=32, size=size)


def at_the_square(images):
    return speeds(images, FIELD, 11, 11)[0, :, 5, 5]


def test_speed_is_in_pixels_in_one_frame():
    for across in (2, 4):
        found = at_the_square(clip(across))
        assert found[0].item() == pytest.approx(across, rel=0.25)
        assert found[4] >= found[0]


def test_direction_tells_down_from_across():
    across, down = at_the_square(clip(2)), at_the_square(clip(0, down=2))
    assert across[1] > 4 * across[2]
    assert down[2] > 4 * down[1]
    assert down[3] > 1
    assert at_the_square(clip(0, down=-2))[3] < -1


def test_nothing_that_does_not_change_moves():
    assert not speeds(clip(0), FIELD, 11, 11).any()


def test_windows_that_share_frames_get_the_same_speeds():
    windows = windows_of(torch.rand(8, 48, 64, generator=torch.Generator().manual_seed(0)), 6)
    copied = speeds(windows.contiguous(), FIELD, 5, 7)
    torch.testing.assert_close(speeds(windows, FIELD, 5, 7), copied, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_still_images_do_not_move(channels):
    assert not speeds(torch.rand(2, channels, 40, 40), FIELD, 4, 4).any()


@pytest.mark.parametrize("offset", [-3, 0, 30])
def test_fields_beyond_the_edge_take_what_is_at_the_edge(offset):
    found = speeds(clip(1, size=75), ReceptiveField(9, 4, offset), 15, 13)
    assert found.shape == (1, NUM_SPEEDS, 15, 13)
    assert found.isfinite().all()


@pytest.mark.parametrize("offset", [-3, 0, 30])
def test_between_blocks_values_are_bilinear(offset):
    values = torch.rand(2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    field = ReceptiveField(9, 4, offset)
    grid = [
        ((torch.arange(num) * 4 + 4 - offset).float() + 0.5) * (2 / (BLOCK * size)) - 1
        for num, size in ((11, 6), (13, 7))
    ]
    down, across = torch.meshgrid(*grid, indexing="ij")
    places = torch.stack([across, down], dim=-1).expand(2, -1, -1, -1)
    expected = functional.grid_sample(values, places, padding_mode="border", align_corners=False)
    torch.testing.assert_close(_at_centres(values, field, 11, 13), expected, atol=1e-5, rtol=1e-5)


def test_ties_of_displacements_do_not_depend_on_how_gray_levels_are_added_up():
    draw = torch.Generator().manual_seed(0)
    half = torch.randint(0, 256, (16, 52, 128), generator=draw)
    pattern = torch.cat([half, half.flip(1)], dim=1)  # up and down match alike in the middle
    parted = torch.maximum(pattern.roll(8, 1), pattern.roll(-8, 1))
    images = torch.stack([pattern] * 4 + [parted] * 2, dim=1)
    found = speeds(images.float() / 255, FIELD, 13, 16)
    exact = speeds(images.double() / 255, FIELD, 13, 16).float()
    torch.testing.assert_close(found, exact, atol=1e-4, rtol=1e-4)
    assert found[:, 3].any()
