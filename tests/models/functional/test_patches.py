import pytest
import torch

from models.errors import InvalidInputError
from models.functional.patches import crops, cut, patch_mean, starts


def test_patches_reach_to_the_end_of_each_side():
    assert starts(12, 12, 5) == [0]
    assert starts(24, 8, 8) == [0, 8, 16]
    assert starts(21, 8, 8) == [0, 8, 13]
    with pytest.raises(InvalidInputError, match="got a side of 7"):
        starts(7, 8, 4)


def test_patches_are_squares_of_the_image():
    images = torch.rand(2, 3, 11, 9)
    patches = cut(images, 4, 3)
    assert patches.shape == (2, 4, 3, 3, 4, 4)
    for row, top in enumerate(starts(11, 4, 3)):
        for column, left in enumerate(starts(9, 4, 3)):
            expected = images[:, :, top : top + 4, left : left + 4]
            assert torch.equal(patches[:, row, column], expected)


def test_a_crop_is_some_square_of_its_own_image():
    images = torch.rand(5, 2, 6, 7)
    found = crops(images, 4, torch.Generator().manual_seed(0))
    every = cut(images, 4, 1).flatten(1, 2)
    for image, crop in enumerate(found):
        assert (every[image] == crop).flatten(1).all(dim=1).any()
    assert torch.equal(crops(images, 4, torch.Generator().manual_seed(0)), found)


def test_votes_are_the_mean_over_covering_patches():
    scores, stride = torch.rand(2, 4, 3), 3
    expected = torch.zeros(2, 11, 9)
    for y in range(11):
        for x in range(9):
            covering = [
                scores[:, row, column]
                for row, top in enumerate(starts(11, 4, stride))
                for column, left in enumerate(starts(9, 4, stride))
                if top <= y < top + 4 and left <= x < left + 4
            ]
            expected[:, y, x] = torch.stack(covering).mean(dim=0)
    torch.testing.assert_close(patch_mean(scores, 11, 9, 4, stride), expected)
