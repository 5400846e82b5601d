import pytest
import torch
from torch import Generator

from models.functional.holes import (
    centre_holes,
    crops,
    holes,
    movement,
    random_blocks,
    random_holes,
    random_regions,
    widened,
)


def test_the_centre_hole_has_its_share_of_both_sides():
    hole = centre_holes(2, 20, 40, 0.5)
    assert hole[1].any(dim=1).sum() == 10
    assert hole[1].any(dim=0).sum() == 20
    assert hole[0, 10, 20]
    assert not hole[0, 0].any()


def test_random_holes_are_whole_rectangles_away_from_the_edge():
    holes = random_holes(200, 32, 48, 0.4, Generator().manual_seed(0))
    assert (holes.sum(dim=(1, 2)) == 12 * 19).all()
    assert not holes[:, :4].any()
    assert not holes[:, :, :6].any()
    assert len(holes.flatten(1).int().argmax(dim=1).unique()) > 50


def test_blocks_are_many_small_holes_of_at_most_the_same_area():
    blocks = random_blocks(200, 32, 32, 0.5, Generator().manual_seed(0))
    area = blocks.sum(dim=(1, 2))
    assert area.max() <= 16 * 16
    assert area.min() >= 8 * 8
    assert area.float().mean() > 0.6 * 16 * 16


def test_regions_have_their_area_and_any_outline():
    regions = random_regions(50, 48, 64, 0.5, Generator().manual_seed(0))
    assert (regions.sum(dim=(1, 2)) == 48 * 64 // 4).all()
    box = regions.any(dim=1).sum(dim=1) * regions.any(dim=2).sum(dim=1)
    assert (box > 1.5 * 48 * 64 // 4).all()
    edges = (regions[:, 1:] != regions[:, :-1]).sum(dim=(1, 2))
    assert edges.float().mean() < 0.15 * 47 * 64, "pixels of a region lie together"


@pytest.mark.parametrize("shape", ["centre", "block", "blocks", "region"])
def test_holes_of_every_shape_leave_most_of_each_image_visible(shape):
    made = holes(shape, 9, 28, 30, 0.5, Generator().manual_seed(0))
    assert made.shape == (9, 28, 30)
    assert made.dtype == torch.bool
    share = made.float().mean(dim=(1, 2))
    assert ((share > 0.05) & (share < 0.3)).all()
    assert torch.equal(made, holes(shape, 9, 28, 30, 0.5, Generator().manual_seed(0)))


def test_a_widened_hole_reaches_further_along_both_axes():
    hole = torch.zeros(1, 12, 12, dtype=torch.bool)
    hole[0, 4:7, 5:7] = True
    expected = torch.zeros_like(hole)
    expected[0, 2:9, 3:9] = True
    assert torch.equal(widened(hole, 2), expected)
    assert widened(hole, 0) is hole


def test_crops_go_where_something_moves():
    images = torch.zeros(1, 6, 64, 64)
    images[:, 5, 40:56, 40:56] = 1
    free, sought = (
        sum(
            movement(crops(images, 16, candidates, Generator().manual_seed(seed))).sum()
            for seed in range(20)
        )
        for candidates in (1, 16)
    )
    assert sought > 2 * free


def test_a_small_image_is_not_cropped():
    images = torch.rand(3, 1, 10, 12)
    assert torch.equal(crops(images, 32, 4, Generator().manual_seed(0)), images)


def test_a_still_image_does_not_move():
    assert not movement(torch.rand(2, 3, 4, 4)).any()
