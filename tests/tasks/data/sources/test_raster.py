import ast
import math
from pathlib import Path

import numpy as np
import pytest

from tasks.data.sources import raster
from tasks.data.sources.raster import FULL, ONE, TURN, UNIT, Draws, Limb, Polygon, Ring

SOURCES = Path(raster.__file__).parent


@pytest.mark.parametrize("path", sorted(SOURCES.glob("walkway*.py")), ids=lambda path: path.name)
def test_nothing_in_the_pixel_path_is_floating_point(path):
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Div) or path.name == "walkway.py"  # it joins paths
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float))
        assert not (isinstance(node, ast.Attribute) and node.attr.startswith(("float", "mean")))


def test_sine_is_within_two_thousandths_of_the_true_sine():
    errors = [
        abs(raster.sine(angle) / ONE - math.sin(2 * math.pi * angle / TURN))
        for angle in range(-TURN, 2 * TURN)
    ]
    assert max(errors) < 0.002


def test_a_step_of_a_quarter_turn_goes_ahead():
    assert raster.step((0, 0), 640, 0) == (0, 640)
    assert raster.step((0, 0), 640, TURN // 4) == (640, 0)
    assert raster.step((0, 0), 640, TURN // 4, direction=-1) == (-640, 0)


def test_random_numbers_are_the_same_with_every_numpy():
    draws = Draws(1, 2, 3)
    assert [draws.between(0, 999) for _ in range(5)] == [616, 483, 571, 86, 63]
    assert draws.field(1, 4).tolist() == [[95, 89, 171, -552]]


def test_random_fields_have_the_stated_deviation():
    field = Draws(0).field(200, 200)
    assert abs(field.mean()) < 5
    assert field.std() == pytest.approx(209, rel=0.02)


def test_value_noise_is_smooth_within_its_cells():
    noise = raster.value_noise(Draws(4), 64, 64, 16, 16)
    assert noise.dtype == np.int64
    assert noise.std() > 80
    assert np.abs(np.diff(noise, axis=0)).max() <= 2 * 1020 // 16 + 1


def test_a_polygon_on_whole_pixels_covers_exactly_them():
    square = Polygon(
        ((UNIT, UNIT), (4 * UNIT, UNIT), (4 * UNIT, 3 * UNIT), (UNIT, 3 * UNIT)), 99, 0
    )
    sprite = raster.draw([square])
    assert (sprite.top, sprite.left) == (1, 1)
    assert sprite.cover[:2, :3].tolist() == [[FULL] * 3] * 2
    assert sprite.cover.sum() == 6 * FULL
    assert sprite.gray.sum() == 6 * FULL * 99


def test_half_a_pixel_is_half_covered():
    bar = Polygon(((0, 0), (UNIT // 2, 0), (UNIT // 2, UNIT), (0, UNIT)), 50, 0)
    assert raster.draw([bar]).cover[0, 0] == FULL // 2


def test_discs_and_rings_have_the_area_of_their_formulas():
    disc = raster.draw([Limb((0, 0), (0, 0), 10 * UNIT, 10 * UNIT, 100)])
    assert disc.cover.sum() / FULL == pytest.approx(math.pi * 100, rel=0.01)
    ring = raster.draw([Ring((0, 0), 10 * UNIT, 2 * UNIT, 100)])
    assert ring.cover.sum() / FULL == pytest.approx(math.pi * (11**2 - 9**2), rel=0.02)


def test_a_limb_is_lighter_towards_the_sun():
    sprite = raster.draw([Limb((0, 0), (0, 9 * UNIT), 4 * UNIT, 4 * UNIT, 100)])
    row = sprite.gray[8] // np.maximum(sprite.cover[8], 1)
    assert row[1] > 100 > row[6]


def test_the_last_part_lies_on_top():
    parts = [Limb((0, 0), (0, 0), 320, 320, gray, relief=0) for gray in (40, 200)]
    sprite = raster.draw(parts)
    assert np.array_equal(sprite.gray, sprite.cover * 200)
