import pytest
import torch

from models.functional.tiles import alike, cut_tiles, enlarged, laid_out


def test_equal_tiles_are_enlarged_equally():
    tile = torch.rand(1, 1, 3, 7, 7)
    tiles = enlarged(tile.expand(2, 9, 3, 7, 7), 10)
    assert tiles.shape == (2, 9, 3, 10, 10)
    assert torch.equal(tiles, tiles[:1, :1].expand_as(tiles))
    assert enlarged(tile, 7) is tile


def test_tiles_are_slices_of_their_image():
    images = torch.rand(2, 3, 30, 31)
    tops, lefts = (torch.randint(20, (2, 9, 3), generator=torch.Generator()) for _ in range(2))
    tiles = cut_tiles(images, tops, lefts, 7)
    for b, n, c in ((0, 0, 0), (1, 8, 2), (1, 4, 1)):
        top, left = tops[b, n, c], lefts[b, n, c]
        assert torch.equal(tiles[b, n, c], images[b, c, top : top + 7, left : left + 7])


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_brightness_and_contrast_do_not_tell_tiles_apart(channels):
    images = torch.rand(2, channels, 30, 30)
    tiles = torch.rand(2, 9, channels, 10, 10)
    brighter = tiles * torch.linspace(1, 3, 9)[:, None, None, None] + 0.2
    made = alike(brighter, images)
    torch.testing.assert_close(made, alike(tiles, images), atol=0.05, rtol=0.05)
    torch.testing.assert_close(
        made.mean(dim=(2, 3, 4)), images.mean(dim=(1, 2, 3))[:, None].expand(2, 9)
    )


def test_movement_within_a_clip_survives():
    clip = torch.rand(1, 1, 12, 12) + torch.arange(6).float()[:, None, None] / 10
    made = alike(clip[:, None], clip)[:, 0]
    assert (made[:, 5] > made[:, 0]).all()


def test_blank_tiles_stay_finite():
    made = alike(torch.full((1, 9, 1, 8, 8), 0.3), torch.full((1, 1, 24, 24), 0.3))
    torch.testing.assert_close(made, torch.full_like(made, 0.3))


def test_tiles_without_gaps_are_laid_out_to_the_image():
    image = torch.rand(1, 1, 12, 12)
    corner = torch.arange(9)[None, :, None]
    tiles = cut_tiles(image, corner // 3 * 4, corner % 3 * 4, 4)
    assert torch.equal(laid_out(tiles, 4, 0.5), image)
    spaced = laid_out(tiles, 6, 0.5)
    assert spaced.shape == (1, 1, 18, 18)
    assert (spaced[..., 0] == 0.5).all()
