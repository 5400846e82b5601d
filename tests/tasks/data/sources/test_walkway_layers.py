import numpy as np
import pytest

from tasks.data.sources.raster import FULL, Sprite
from tasks.data.sources.walkway_layers import cast, paste, soften


def block(top, left, height=4, width=3, gray=100):
    cover = np.full((height, width), FULL, np.int64)
    return Sprite(top, left, cover, cover * gray)


def canvas():
    return np.full((20, 30), 50 * FULL, np.int64), np.zeros((20, 30), np.int64)


@pytest.mark.parametrize("corner", [(-9, 5), (25, 5), (5, -9), (5, 40), (-9, -9), (25, 40)])
def test_a_sprite_outside_the_frame_changes_nothing(corner):
    frame, mask = canvas()
    paste(frame, mask, block(*corner), anomalous=True)
    assert (frame == 50 * FULL).all()
    assert not mask.any()


def test_a_sprite_across_the_border_is_cut_off():
    frame, mask = canvas()
    paste(frame, mask, block(-2, 28), anomalous=True)
    assert np.argwhere(mask).tolist() == [[0, 28], [0, 29], [1, 28], [1, 29]]
    assert frame[0, 28] == 100 * FULL


def test_what_is_in_front_hides_the_mask_behind_it():
    frame, mask = canvas()
    paste(frame, mask, block(5, 5), anomalous=True)
    paste(frame, mask, block(5, 6), anomalous=False)
    assert mask[5, 5] == FULL
    assert not mask[5:9, 6:].any()


def test_half_cover_mixes_half_and_half():
    frame, mask = canvas()
    cover = np.full((1, 1), FULL // 2, np.int64)
    paste(frame, mask, Sprite(3, 3, cover, cover * 200), anomalous=True)
    assert frame[3, 3] == (50 + 200) * FULL // 2
    assert mask[3, 3] == FULL // 2


def test_a_shadow_falls_to_the_right_and_upwards():
    shade = np.zeros((20, 30), np.int64)
    cast(shade, 15, block(4, 10, height=12))
    rows, columns = np.nonzero(shade)
    assert (rows.min(), rows.max()) == (13, 15)
    assert columns.min() >= 10
    assert columns[rows == 13].mean() > columns[rows == 15].mean()


def test_a_shadow_that_leaves_the_frame_is_cut_off():
    shade = np.zeros((20, 30), np.int64)
    cast(shade, 15, block(4, 28, height=12))
    cast(shade, 15, block(4, 60, height=12))
    assert shade[15, 28:].all()
    assert not shade[:, :28].any()


def test_softening_keeps_an_even_shade_and_blurs_an_edge():
    even = np.full((8, 8), FULL, np.int64)
    assert np.array_equal(soften(even), even)
    edge = even.copy()
    edge[:, 4:] = 0
    row = soften(edge)[4]
    assert 0 < row[4] < row[3] < FULL
