import colorsys
import math

import pytest
import torch

from models.functional.augmentations import (
    contrast,
    curve,
    factor,
    headroom,
    is_pale,
    jittered,
    recolour,
    resample,
    signed_magnitude,
    soften,
)


def still(num):
    """Neither shift, nor zoom, nor turn."""
    return torch.zeros(num, 2), torch.ones(num), torch.zeros(num)


def test_nothing_changes_without_shift_zoom_and_turn():
    images = torch.rand(3, 2, 10, 12)
    torch.testing.assert_close(resample(images, *still(3), 6), images[:, :, 2:8, 3:9])


def test_a_positive_shift_moves_the_content_right_and_down():
    images = torch.rand(2, 1, 12, 12)
    shift = torch.tensor([[2 / 8, 0.0], [0.0, 1 / 8]])
    views = resample(images, shift, *still(2)[1:], 8)
    torch.testing.assert_close(views[0], images[0, :, 2:10, 0:8])
    torch.testing.assert_close(views[1], images[1, :, 1:9, 2:10])


def test_a_quarter_turn_is_clockwise():
    images = torch.rand(1, 3, 9, 9)
    views = resample(images, torch.zeros(1, 2), torch.ones(1), torch.tensor([math.pi / 2]), 9)
    torch.testing.assert_close(views, images.rot90(-1, dims=(2, 3)), atol=1e-5, rtol=0)


def test_a_zoom_of_two_shows_a_ramp_at_half_its_slope():
    ramp = torch.arange(16.0).expand(1, 1, 16, 16) / 16
    views = resample(ramp, torch.zeros(1, 2), torch.tensor([2.0]), torch.zeros(1), 8)
    torch.testing.assert_close(views.diff(dim=3), torch.full((1, 1, 8, 7), 1 / 32))


def test_what_lies_beyond_the_edge_is_mirrored_or_repeated():
    images = torch.rand(1, 1, 6, 6)
    views = resample(images, *still(1), 10)
    torch.testing.assert_close(views[:, :, 2:8, 1], images[..., 0])
    torch.testing.assert_close(views[:, :, 2:8, 0], images[..., 1])
    views = resample(images, *still(1), 10, "border")
    torch.testing.assert_close(views[:, :, 2:8, 0], images[..., 0])


def test_views_do_not_depend_on_the_other_images():
    images = torch.rand(4, 1, 9, 9)
    shift, zoom, angle = torch.rand(4, 2) * 0.1, 1 + torch.rand(4), torch.rand(4)
    whole = resample(images, shift, zoom, angle, 7)
    alone = resample(images[2:3], shift[2:3], zoom[2:3], angle[2:3], 7)
    torch.testing.assert_close(whole[2:3], alone)


def test_softening_adds_its_variance_and_keeps_the_sum():
    point = torch.zeros(1, 1, 9, 9)
    point[..., 4, 4] = 1
    soft = soften(point, torch.tensor([0.2]))
    assert soft.shape == (1, 1, 7, 7)
    along = soft.sum(dim=2)[0, 0]
    assert along.sum().item() == pytest.approx(1)
    assert (along * (torch.arange(7) - 3) ** 2).sum().item() == pytest.approx(0.4)


def test_contrast_keeps_the_mean_and_scales_the_deviation():
    images = 0.4 + 0.1 * torch.rand(2, 3, 8, 8)
    changed = contrast(images, torch.tensor([0.5, 2.0]))
    torch.testing.assert_close(changed.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)))
    ratio = changed.std(dim=(1, 2, 3)) / images.std(dim=(1, 2, 3))
    torch.testing.assert_close(ratio, torch.tensor([0.5, 2.0]))


def test_contrast_raised_by_the_headroom_just_touches_black_or_white():
    images = 0.2 + 0.3 * torch.rand(5, 1, 8, 8)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    raised = mean + headroom(images)[:, None, None, None] * (images - mean)
    gap = torch.minimum(raised.amin(dim=(1, 2, 3)), 1 - raised.amax(dim=(1, 2, 3)))
    torch.testing.assert_close(gap, torch.zeros(5), atol=1e-5, rtol=0)
    assert headroom(torch.full((1, 1, 4, 4), 0.5)).isinf().all()


def test_the_tone_curve_bends_and_mixes_by_hand():
    images = torch.tensor([0.0, 0.5, 1.0]).expand(2, 1, 1, 3)
    bent = curve(images, torch.tensor([2.0, 1.0]), torch.tensor([0.2, -0.5]))
    torch.testing.assert_close(bent[:, 0, 0], torch.tensor([[0.2, 0.4, 1.0], [0.0, 0.25, 0.5]]))


def test_colours_turn_as_in_the_standard_library():
    images = torch.rand(1, 3, 4, 4)
    turned = recolour(images, torch.tensor([0.3]), torch.tensor([0.7]))
    for pixel, found in zip(images[0].flatten(1).T, turned[0].flatten(1).T, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel.tolist())
        expected = colorsys.hsv_to_rgb((hue + 0.3) % 1, saturation * 0.7, value)
        assert found.tolist() == pytest.approx(expected, abs=1e-5)


def test_gray_pixels_have_no_colour_to_turn():
    gray = torch.rand(2, 1, 5, 5).expand(2, 3, 5, 5)
    torch.testing.assert_close(recolour(gray, torch.full((2,), 0.4), torch.full((2,), 3.0)), gray)
    assert is_pale(gray).all()
    assert is_pale(torch.rand(2, 6, 5, 5)).all()
    assert not is_pale(torch.rand(2, 3, 5, 5)).any()


def test_strengths_stay_in_their_range_and_reach_both_ends():
    uniform = torch.linspace(0, 0.9999, 1001)
    signed, factors = signed_magnitude(uniform, 0.5, 2.0), factor(uniform, 3.0)
    assert signed.abs().min() >= 0.5
    assert signed.min() == -2
    assert signed.max() == pytest.approx(2, abs=1e-3)
    assert factors.min() == pytest.approx(1 / 3)
    assert factors.max() == pytest.approx(3, rel=1e-3)
    assert factors.log().mean() == pytest.approx(0, abs=1e-3)


def test_jitter_moves_each_image_by_its_own_amounts_within_the_bounds():
    spot = torch.zeros(200, 1, 20, 20)
    spot[:, :, 10, 10] = 1
    views = jittered(spot, 0.1, 0.0, torch.Generator().manual_seed(0))
    rows = (views.sum(dim=3) * torch.arange(20)).sum(dim=2) / views.sum(dim=(2, 3))
    assert rows.min() == pytest.approx(8, abs=0.1)
    assert rows.max() == pytest.approx(12, abs=0.1)
    turned = jittered(spot, 0.0, 90.0, torch.Generator().manual_seed(0))
    assert not torch.allclose(turned[0], turned[1])


def test_without_bounds_jitter_changes_neither_images_nor_randomness():
    images, draw = torch.rand(2, 1, 6, 6), torch.Generator().manual_seed(0)
    assert torch.equal(jittered(images, 0.0, 0.0, draw), images)
    assert torch.equal(draw.get_state(), torch.Generator().manual_seed(0).get_state())
