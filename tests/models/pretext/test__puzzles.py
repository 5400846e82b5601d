import pytest
import torch

from models.errors import InvalidInputError
from models.pretext._puzzles import Puzzles


def ramp(num, channels=1, side=36):
    """Images whose values tell where a pixel lies: its row and, after the point, its column."""
    place = torch.arange(side).float()
    return (place[:, None] + place / 1000).expand(num, channels, side, side)


def test_tiles_lie_anywhere_within_their_cell():
    corner = Puzzles(36, 10).tiles(ramp(400))[:, :, 0, 0, 0]
    rows, columns = corner.floor(), (corner - corner.floor()) * 1000
    cells = torch.arange(9)
    for place, cell in ((rows, cells // 3), (columns, cells % 3)):
        assert torch.equal(place.amin(dim=0).round(), 12.0 * cell)
        assert torch.equal(place.amax(dim=0).round(), 12.0 * cell + 2)


def test_the_square_lies_anywhere_in_a_large_image():
    first = Puzzles(36, 12).tiles(ramp(400, side=40))[:, 0, 0, 0, 0].floor()
    assert first.unique().tolist() == [0, 1, 2, 3, 4]


def test_tiles_of_a_small_image_are_enlarged_cuts_of_it():
    # Tiles of an enlarged image would tell their place by their blur.
    tiles = Puzzles(36, 12).tiles(ramp(50, side=18))
    steps = tiles[..., 1:, 0] - tiles[..., :-1, 0]
    torch.testing.assert_close(steps, steps[:1, :1].expand_as(steps), atol=1e-5, rtol=0)
    assert torch.equal(tiles[:, :, 0, 0, 0].floor()[0], torch.arange(9) // 3 * 6.0)


def test_what_is_drawn_does_not_depend_on_the_batch_size():
    images, whole, parts = torch.rand(7, 1, 40, 44), Puzzles(36, 10), Puzzles(36, 10)
    split = [parts.tiles(part) for part in images.split(3)]
    assert torch.equal(whole.tiles(images), torch.cat(split))
    labels = [parts.labels(num, 1, 30) for num in (3, 3, 1)]
    assert torch.equal(whole.labels(7, 1, 30), torch.cat(labels))


def test_colours_lie_off_and_some_images_are_gray():
    images = torch.rand(200, 3, 36, 36)
    gray = Puzzles(36, 10, gray_share=0.3).tiles(images)
    alike = (gray == gray[:, :, :1]).flatten(1).all(dim=1)
    assert alike.float().mean().item() == pytest.approx(0.3, abs=0.1)
    corner = Puzzles(36, 10, colour_shift=1).tiles(ramp(200, 3))[:, 4, :, 0, 0].floor()
    assert (corner[:, 0] - corner[:, 1]).unique().tolist() == [-2, -1, 0, 1, 2]


def test_images_smaller_than_the_grid_are_refused():
    with pytest.raises(InvalidInputError, match="at least 9 x 9 pixels, got 8 x 30"):
        Puzzles(36, 10).tiles(torch.rand(1, 1, 8, 30))
