import torch

from models.functional.blocks import hide, inside, random_places, tiling, windows


def test_a_window_ends_with_its_block():
    image = torch.arange(30.0).reshape(1, 1, 5, 6)
    window = windows(image, torch.tensor([[2, 3]]), 4, 2)
    assert torch.equal(window[0, 0], image[0, 0, :4, 1:5])


def test_what_lies_outside_the_image_is_filled():
    image = torch.rand(1, 1, 5, 6) + 1
    window = windows(image, torch.tensor([[4, 0]]), 4, 2)[0, 0]
    assert torch.equal(window[:3, 2:], image[0, 0, 2:5, :2])
    assert window[3].eq(0).all()
    assert window[:, :2].eq(0).all()
    assert torch.equal(window > 0, inside(torch.tensor([[4, 0]]), 4, 2, 5, 6)[0])


def test_blocks_cover_every_pixel_once():
    height, width, block = 7, 10, 4
    seen = torch.zeros(height, width, dtype=torch.long)
    places = tiling(height, width, block, 100)
    for (top, left), pixels in zip(
        places, inside(places, block, block, height, width), strict=True
    ):
        rows, columns = pixels.nonzero().unbind(dim=1)
        seen[top + rows, left + columns] += 1
    assert seen.eq(1).all()


def test_a_part_of_the_blocks_is_spread_over_the_image():
    places = tiling(40, 40, 4, 5)
    assert len(places) == 5
    assert places[0].tolist() == [0, 0]
    assert places[-1].tolist() == [36, 36]


def test_what_is_hidden_leaves_no_trace():
    images, other, known = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), torch.rand(2, 4, 4) < 0.5
    hidden = hide(images, known, 0.5)
    seen = known[:, None].expand(-1, 3, -1, -1)
    assert torch.equal(hidden, hide(torch.where(seen, images, other), known, 0.5))
    assert torch.equal(hidden[seen], images[seen])
    mean = images[1, 2][known[1]].mean()
    torch.testing.assert_close(hidden[1, 2][~known[1]], mean.expand((~known[1]).sum()))
    assert hide(images, torch.zeros_like(known), 0.5).eq(0.5).all()


def test_blocks_are_drawn_where_something_moves():
    clips = torch.zeros(50, 6, 20, 20)
    clips[:, -1, 12:, 12:] = 1
    places = random_places(clips, 4, 60, torch.Generator().manual_seed(0))
    assert places.min() >= 10
    still = random_places(clips[:, :1], 4, 60, torch.Generator().manual_seed(0))
    assert still.min() == 0
    assert still.max() == 16
