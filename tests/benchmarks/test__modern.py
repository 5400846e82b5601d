import pytest
import torch

from benchmarks._modern import _augmentation, missing, simclr


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_views_differ_and_keep_their_size(channels):
    image = torch.rand(channels, 16, 20)
    augment = _augmentation(image[None])
    one, other = augment(image), augment(image)
    assert one.shape == other.shape == image.shape
    assert not torch.equal(one, other)


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_simclr_trains_a_trunk():
    images = torch.randint(256, (8, 1, 16, 16), dtype=torch.uint8)
    trunk = simclr(images, seed=0, steps=1)
    assert trunk(torch.rand(2, 1, 16, 16)).isfinite().all()
