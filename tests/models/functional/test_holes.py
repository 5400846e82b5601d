import torch
from torch import Generator

from models.functional.holes import centre_holes, crops, movement, random_holes


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
