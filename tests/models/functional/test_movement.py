import pytest
import torch

from models.functional.movement import NUM_MOVEMENTS, movement
from models.functional.receptive_field import ReceptiveField
from tests.models.functional.clips import moving_square

FIELD = ReceptiveField(size=51, stride=8, offset=18)
"""Of AlexNet's second convolution."""


def clip(across, down=0, size=64):
    return moving_square(across, down, side=20, size=size)


def at_the_square(images):
    return movement(images, FIELD, 7, 7)[0, :, 3, 3]


def test_a_faster_object_has_more_speed():
    slow, fast = at_the_square(clip(1)), at_the_square(clip(2))
    assert (fast[[1, 2, 5, 6]] > 1.3 * slow[[1, 2, 5, 6]]).all()


def test_direction_tells_down_from_across():
    across, down = at_the_square(clip(2)), at_the_square(clip(0, down=2))
    assert across[2] > 4 * across[4]
    assert down[3] > 4 * down[2]


def test_rows_run_from_top_to_bottom():
    rows = movement(clip(1), FIELD, 7, 5)[0, 13]
    torch.testing.assert_close(rows[:, 0], torch.linspace(-1, 1, 7))
    assert (rows == rows[:, :1]).all()


def test_changes_are_those_of_the_pixels_around_the_cell():
    images = torch.rand(1, 6, 64, 64, generator=torch.Generator().manual_seed(0))
    found = movement(images, FIELD, 7, 7)[0, 7:13, 2, 4]
    frames = images[0, :, 12:36, 28:52]  # 24 pixels around row 7 + 2 * 8 and column 7 + 4 * 8
    step = (frames[1:] - frames[:-1]).abs()
    expected = [
        step.mean(),
        (frames[2:] - frames[:-2]).abs().mean(),
        (frames[5] - frames[0]).abs().mean(),
        ((frames[5] + frames[4] - frames[1] - frames[0]) / 2).abs().mean(),
        step.square().mean().sqrt(),
    ]
    torch.testing.assert_close(found[:5], torch.stack(expected))
    assert step.mean() < found[5] < step.max()


def test_change_without_texture_to_follow_is_seen():
    flicker = torch.full((1, 6, 64, 64), 0.5)
    flicker[:, ::2] = 0.6
    found = at_the_square(flicker)
    assert (found[[7, 9, 11, 12]] > 0.09).all()
    assert found[8] < 1e-6


@pytest.mark.parametrize("channels", [1, 3])
def test_still_images_do_not_move(channels):
    assert not movement(torch.rand(2, channels, 40, 40), FIELD, 4, 4).any()


@pytest.mark.parametrize("offset", [-3, 0, 30])
def test_fields_beyond_the_edge_take_the_pixels_at_the_edge(offset):
    found = movement(clip(1), ReceptiveField(9, 4, offset), 15, 13)
    assert found.shape == (1, NUM_MOVEMENTS, 15, 13)
    assert found.isfinite().all()
