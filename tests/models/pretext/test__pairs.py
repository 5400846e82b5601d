import pytest
import torch

from models.pretext._pairs import Pairs


def make(seed=0, jitter=0.2, light=0.0, patch=20):
    return Pairs(patch, jitter=jitter, light=light, seed=seed)


def plain(num=4, channels=1, side=30):
    """Images in which every pixel has a value of its own."""
    draw = torch.Generator().manual_seed(1)
    return torch.rand(num, channels, side, side, generator=draw)


def place(patch, image):
    """Row and column of a patch in an image, mirrored or not."""
    side = patch.shape[-1]
    squares = image.unfold(-2, side, 1).unfold(-2, side, 1)
    for mirrored in (patch, patch.flip(-1)):
        same = (squares == mirrored).flatten(start_dim=-2).all(dim=-1).nonzero()
        if len(same):
            return same[0].tolist(), mirrored is not patch
    return None


def test_plain_images_give_nearly_the_same_place_twice():
    images = plain()
    for image, pair in zip(images, make().drawn(images), strict=True):
        (first, turned), (last, turned_too) = (place(patch[0], image[0]) for patch in pair)
        assert pair.shape[-1] == 16
        assert turned == turned_too
        assert max(abs(first[0] - last[0]), abs(first[1] - last[1])) <= 4


def test_clips_give_one_place_early_and_late():
    clips = torch.arange(6.0)[:, None, None].expand(6, 30, 30)[None] / 10
    (early, late), *_ = make().drawn(clips)
    assert early[:, 0, 0].tolist() == pytest.approx([0, 0, 0.1, 0.1, 0.2, 0.2])
    assert late[:, 0, 0].tolist() == pytest.approx([0.3, 0.3, 0.4, 0.4, 0.5, 0.5])


def test_tracked_pairs_stay_what_they_are():
    tracked = torch.stack([plain(channels=6, side=20), plain(channels=6, side=20) / 2], dim=1)
    drawn = make().drawn(tracked)
    assert drawn.shape == (4, 2, 6, 16, 16)
    for pair, patches in zip(tracked, drawn, strict=True):
        assert all(place(patch[3], image[3]) for patch, image in zip(patches, pair, strict=True))
    assert torch.equal(make().held_out(tracked), tracked[..., 2:18, 2:18])


def test_held_out_pairs_are_without_chance():
    images = plain()
    pairs = make(seed=0).held_out(images)
    assert torch.equal(pairs, make(seed=1).held_out(images))
    assert torch.equal(pairs[:2], make().held_out(images[:2]))
    assert torch.equal(pairs[:, 0], images[..., 5:21, 5:21])
    assert torch.equal(pairs[:, 1], images[..., 9:25, 9:25])


def test_pairs_are_drawn_by_the_seed():
    images = plain()
    assert torch.equal(make(seed=3).drawn(images), make(seed=3).drawn(images))
    assert not torch.equal(make(seed=3).drawn(images), make(seed=4).drawn(images))


def test_light_changes_each_patch_by_itself_and_stays_in_range():
    images = torch.full((20, 1, 30, 30), 0.6)
    pairs = make(light=0.5).drawn(images)
    assert pairs.flatten(1, -1).min() >= 0
    assert pairs.max() <= 1
    assert (pairs[:, 0, 0, 0, 0] != pairs[:, 1, 0, 0, 0]).all()
