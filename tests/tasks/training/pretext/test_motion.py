import numpy as np
import pytest

from tasks.training.pretext.motion import (
    Box,
    camera_flow,
    moving_boxes,
    moving_pixels,
    share_moving,
)
from tests.tasks import moving


def truth(square, t):
    row, column = moving.corner(square, t)
    return Box(column, row, moving.SQUARE, moving.SQUARE)


def test_overlap_is_intersection_over_union():
    box = Box(0, 0, 4, 4)
    assert box.overlap(box) == 1
    assert box.overlap(Box(2, 0, 4, 4)) == pytest.approx(8 / 24)
    assert box.overlap(Box(4, 0, 4, 4)) == 0
    assert Box(2, 1, 4, 8).centre == (5, 4)


def test_what_moves_is_found():
    clip = moving.frames()
    moves = moving_pixels(clip[9], clip[10])
    for square in (0, 1):
        assert share_moving(moves, truth(square, 10)) > 0.8
    assert 0.5 < moves.sum() / (2 * moving.SQUARE**2) < 2


def test_a_camera_that_moves_is_no_movement():
    ground = moving.texture(np.random.default_rng(5), (110, 160))
    views = [ground[t : t + 96, 2 * t : 2 * t + 144].copy() for t in (3, 4)]
    assert moving_pixels(*views).mean() < 0.05
    face = moving.texture(np.random.default_rng(6), (24, 24))
    for view, column in zip(views, (40, 44), strict=True):
        view[30:54, column : column + 24] = face
    assert share_moving(moving_pixels(*views), Box(44, 30, 24, 24)) > 0.7


def test_noise_is_no_movement():
    random = np.random.default_rng(0)
    wall = np.full((96, 144), 128.0)
    noisy = [(wall + random.normal(0, 2, wall.shape)).round().astype(np.uint8) for _ in range(2)]
    assert not moving_pixels(*noisy).any()


def test_a_cut_is_no_movement():
    clips = [moving.texture(np.random.default_rng(seed), (96, 144)) for seed in (1, 2)]
    assert not moving_pixels(*clips).any()


def test_the_camera_s_part_of_a_flow_is_affine():
    rows, columns = np.mgrid[:64, :80].astype(np.float32)
    flow = np.stack([0.5 + 0.02 * columns, -1 + 0.01 * rows], axis=2)
    seen = flow.copy()
    seen[20:40, 30:50] += 6
    np.testing.assert_allclose(camera_flow(seen), flow, atol=0.05)


def test_boxes_are_tight_and_the_fullest_comes_first():
    moves = np.zeros((80, 100), dtype=bool)
    moves[10:30, 10:22] = True
    moves[40:70, 60:90] = True
    assert moving_boxes(moves, 32) == [Box(60, 40, 30, 30), Box(10, 10, 12, 20)]


def test_what_is_larger_than_a_box_gets_several():
    moves = np.zeros((80, 100), dtype=bool)
    moves[10:30, 10:74] = True
    found = moving_boxes(moves, 32)
    assert len(found) == 2
    assert all(box.height == 20 and box.width <= 32 for box in found)
    assert found[0].overlap(found[1]) == 0


def test_what_touches_the_edge_is_not_yet_in_view():
    moves = np.zeros((80, 100), dtype=bool)
    moves[10:40, :20] = True
    assert moving_boxes(moves, 32) == []
    assert moving_boxes(np.zeros((80, 100), dtype=bool), 32) == []
