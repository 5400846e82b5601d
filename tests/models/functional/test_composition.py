import pytest
import torch

from models.errors import InvalidInputError
from models.functional.composition import NUM_UNIFORM, Changes, composed_views

NONE = Changes(
    translation=0.0, scale=1.0, rotation=0.0, contrast=1.0, power=1.0, light=0.0, hue=0.0
)


def test_without_changes_a_view_is_the_middle():
    images = torch.rand(4, 3, 12, 12)
    views = composed_views(images, torch.rand(4, NUM_UNIFORM), NONE, 8)
    torch.testing.assert_close(views, images[:, :, 2:10, 2:10])


@pytest.mark.parametrize(
    "change",
    [
        {"translation": 0.2},
        {"scale": 1.4},
        {"rotation": 20.0},
        {"contrast": 2.0},
        {"power": 2.0},
        {"light": 0.2},
        {"hue": 0.1},
    ],
)
def test_each_change_makes_views_of_one_image_differ(change):
    image = torch.rand(1, 3, 12, 12).expand(10, -1, -1, -1)
    fields = {name: getattr(NONE, name) for name in vars(NONE)} | change
    uniform = torch.linspace(0, 1, 10)[:, None].expand(-1, NUM_UNIFORM)
    views = composed_views(image, uniform, Changes(**fields), 8)
    assert (views[1:] - views[:1]).abs().amax(dim=(1, 2, 3)).min() > 0.01


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_views_stay_in_range_and_frames_change_alike(channels):
    images = torch.rand(50, channels, 20, 20)
    views = composed_views(images, torch.rand(50, NUM_UNIFORM), Changes(), 16)
    assert views.shape == (50, channels, 16, 16)
    assert views.min() >= 0
    assert views.max() <= 1
    if channels == 6:
        still = images[:, :1].expand(-1, 6, -1, -1)
        views = composed_views(still, torch.rand(50, NUM_UNIFORM), Changes(), 16)
        torch.testing.assert_close(views[:, 0], views[:, 5])


def test_a_view_of_a_whole_image_shows_its_object_once():
    moved = Changes(contrast=1.0, power=1.0, light=0.0)
    images = torch.nn.functional.pad(torch.rand(60, 1, 12, 12), (2, 2, 2, 2))
    on_ground = torch.nn.functional.pad(images, (16, 16, 16, 16))
    uniform = torch.rand(60, NUM_UNIFORM)
    whole, expected = (composed_views(seen, uniform, moved, 16) for seen in (images, on_ground))
    torch.testing.assert_close(whole, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "wrong", [{"translation": 0.6}, {"scale": 0.5}, {"rotation": -1.0}, {"power": 0.0}]
)
def test_changes_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        Changes(**wrong)
