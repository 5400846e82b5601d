import numpy as np
import pytest

from tasks.data.sources.raster import FULL, UNIT, Draws
from tasks.data.sources.walkway_setting import (
    DOORS,
    FACADE,
    FAR_KERB,
    HEIGHT,
    NEAR_KERB,
    WIDTH,
    background,
    occluders,
)


@pytest.fixture(scope="module")
def ground():
    return background(Draws(3, 0))


def test_the_background_fills_the_frame_within_the_gray_scale(ground):
    assert ground.shape == (HEIGHT, WIDTH)
    assert ground.min() >= 0
    assert ground.max() <= 255 * FULL


def test_the_paving_is_lighter_than_the_lawn_and_both_have_texture(ground):
    paving, lawn = ground[FAR_KERB + 4 : NEAR_KERB, :150], ground[NEAR_KERB + 8 :, :150]
    assert paving.mean() > lawn.mean() + 40 * FULL
    assert paving.std() > 5 * FULL
    assert lawn.std() > 5 * FULL


def test_another_seed_gives_another_background(ground):
    assert np.array_equal(background(Draws(3, 0)), ground)
    assert not np.array_equal(background(Draws(4, 0)), ground)


def test_one_can_be_seen_in_a_door_but_not_behind_the_wall(ground):
    (row, facade), *front = occluders(Draws(3, 1), ground)
    assert row == FACADE * UNIT
    for door in DOORS:
        assert facade.cover[FACADE - 6, door] == 0
        assert facade.cover[FACADE - 6, door + 15] == FULL
    assert all(other > NEAR_KERB * UNIT for other, _ in front)


def test_no_occluder_is_brighter_than_it_covers(ground):
    for _, sprite in occluders(Draws(3, 1), ground):
        assert (sprite.cover >= 0).all()
        assert (sprite.cover <= FULL).all()
        assert (sprite.gray <= 255 * sprite.cover).all()
