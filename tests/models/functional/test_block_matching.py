import numpy as np
import pytest
import torch
from torch.nn import functional

from models.functional.block_matching import AROUND, REACH, RELUCTANCE, STEP, block_flow


def texture(height=24, width=30, seed=0):
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, height // 2, width // 2, generator=draw)
    return functional.interpolate(coarse, size=(height, width), mode="bicubic")[:, 0].clamp(0, 1)


def moved(image, across, down):
    return torch.roll(image, (down, across), dims=(1, 2))


@pytest.mark.parametrize(("across", "down"), [(0, 0), (2, 0), (-3, 0), (0, 2), (1, -2), (-2, 1)])
def test_a_shift_is_found_in_pixels_and_in_its_direction(across, down):
    image = texture()
    flow = block_flow(image, moved(image, across, down))[:, :, 3:-3, 3:-3]
    expected = torch.tensor([across, down]).float()[None, :, None, None].expand_as(flow)
    torch.testing.assert_close(flow, expected, atol=0.15, rtol=0)


def test_half_a_pixel_is_found_between_the_pixels():
    image = texture()
    half = (image + moved(image, 1, 0)) / 2
    found = block_flow(image, half)[:, 0, 3:-3, 3:-3].mean().item()
    assert found == pytest.approx(0.5, abs=0.15)


def test_nothing_moves_where_nothing_is_to_be_seen():
    flat = torch.full((2, 20, 21), 0.5)
    assert not block_flow(flat, flat + 0.01).any()


def test_each_pair_of_images_is_for_itself():
    images = torch.cat([texture(), texture(seed=1)])
    both = block_flow(images, moved(images, 1, 1))
    torch.testing.assert_close(block_flow(images[1:], moved(images[1:], 1, 1)), both[1:])


def test_whole_pixels_are_those_of_a_search_by_hand():
    image, other = texture(), texture(seed=1)
    row, column = 6, 7
    side, before = STEP * AROUND, STEP * (AROUND // 2)
    top, left = STEP * row - before, STEP * column - before
    block = image[0, top : top + side, left : left + side].numpy()
    costs = {}
    for down in range(-REACH[0], REACH[0] + 1):
        for across in range(-REACH[1], REACH[1] + 1):
            there = other[0, top + down :, left + across :][:side, :side].numpy()
            away = RELUCTANCE * np.hypot(down, across)
            costs[across, down] = np.abs(there - block).mean() + away
    found = block_flow(image, other)[0, :, row, column]
    best = torch.tensor(min(costs, key=costs.get)).float()
    assert (found - best).abs().max() <= 0.5


def search(before, after):
    """The same without any trick: pads, pools, sorts by ``min``, and fits parabolas by hand."""
    height, width = before.shape
    seen = np.pad(after.numpy(), [(REACH[0],) * 2, (REACH[1],) * 2], mode="edge")
    down, across = 2 * REACH[0] + 1, 2 * REACH[1] + 1
    costs = np.empty((down, across, -(-height // STEP), -(-width // STEP)))
    for r in range(down):
        for c in range(across):
            away = torch.from_numpy(np.abs(seen[r:, c:][:height, :width] - before.numpy()))[None]
            blocks = functional.avg_pool2d(away, STEP, ceil_mode=True)
            cost = functional.avg_pool2d(blocks, AROUND, 1, AROUND // 2, count_include_pad=False)
            costs[r, c] = cost[0].numpy() + RELUCTANCE * np.hypot(r - REACH[0], c - REACH[1])
    flow = np.empty((2, *costs.shape[2:]))
    for place in np.ndindex(costs.shape[2:]):
        here = costs[(slice(None), slice(None), *place)]
        r, c = np.unravel_index(here.argmin(), here.shape)
        flow[(0, *place)] = c - REACH[1] + vertex(here[r], c)
        flow[(1, *place)] = r - REACH[0] + vertex(here[:, c], r)
    return torch.from_numpy(flow).float()


def vertex(costs, place):
    if not 0 < place < len(costs) - 1:
        return 0.0
    one, least, other = costs[place - 1 : place + 2]
    bend = one - 2 * least + other
    return min(max((one - other) / (2 * bend), -0.5), 0.5) if bend > 0 else 0.0


@pytest.mark.parametrize(("height", "width"), [(24, 30), (13, 18), (16, 11), (5, 4)])
def test_flow_is_that_of_a_plain_search(height, width):
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, height, width, generator=draw)
    expected = [search(*pair) for pair in zip(*images, strict=True)]
    torch.testing.assert_close(block_flow(*images), torch.stack(expected), atol=1e-3, rtol=0)


def test_images_smaller_than_the_blocks_are_taken():
    assert block_flow(torch.rand(1, 3, 2), torch.rand(1, 3, 2)).isfinite().all()
