import pytest
import torch

from models.errors import TrainingError
from models.functional.seed_patches import MOVEMENT_GAIN, SeedPatches, best_patches, interest


def kept(batches, capacity=6, side=8, step=4):
    found = SeedPatches(capacity, side, step, seed=0)
    for batch in batches:
        found.update(batch)
    return found.patches()


def test_interest_is_contrast_plus_movement():
    images = torch.rand(2, 6, 12, 16)
    found = interest(images, 8, 4)
    assert found.shape == (2, 2, 3)
    square = images[1, :, 4:12, 8:16]
    contrast = square.mean(dim=0).std(correction=0)
    moving = (square[5] - square[0]).abs().mean()
    torch.testing.assert_close(found[1, 1, 2], contrast + MOVEMENT_GAIN * moving)


def test_patches_do_not_depend_on_the_batches():
    images = torch.rand(23, 3, 20, 16)
    whole = kept([images])
    assert whole.shape == (6, 3, 8, 8)
    for size in (1, 5, 16):
        assert torch.equal(whole, kept(images.split(size)))


def test_patches_are_squares_of_the_images():
    images = torch.rand(3, 1, 16, 16)
    squares = images.unfold(2, 8, 4).unfold(3, 8, 4).reshape(-1, 8, 8)
    for patch in kept([images]):
        assert (squares == patch).all(dim=(1, 2)).any()


def test_empty_squares_are_never_taken_and_eventful_ones_more_often():
    images = torch.full((40, 1, 8, 24), 0.5)
    images[..., 8:16] += 0.01 * torch.randn(40, 1, 8, 8)
    images[..., 16:] += 0.1 * torch.randn(40, 1, 8, 8)
    patches = kept([images], capacity=20, step=8)
    spread = patches.std(dim=(1, 2, 3))
    assert spread.min() > 0.005
    assert (spread > 0.05).sum() >= 15
    assert len(kept([images], capacity=500, step=8)) == 80


def test_the_best_patch_is_where_there_is_most_to_see():
    images = torch.full((2, 1, 20, 20), 0.5)
    images[0, 0, 12:, :8] = torch.rand(8, 8)
    images[1, 0, 4:12, 12:] = torch.rand(8, 8)
    found = best_patches(images, 8, 4)
    assert torch.equal(found[0], images[0, :, 12:, :8])
    assert torch.equal(found[1], images[1, :, 4:12, 12:])


def test_images_that_are_not_finite_are_refused():
    images = torch.rand(2, 1, 8, 8)
    images[1, 0, 3, 3] = torch.inf
    with pytest.raises(TrainingError, match="finite"):
        SeedPatches(4, 8, 4).update(images)


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="got none"):
        SeedPatches(4, 8, 4).patches()
