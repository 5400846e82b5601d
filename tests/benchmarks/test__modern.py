import pytest
import torch

from benchmarks._modern import TEMPERATURE, _augmentation, nt_xent, simclr


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_views_differ_and_keep_their_size(channels):
    image = torch.rand(channels, 16, 20)
    augment = _augmentation(image[None])
    one, other = augment(image), augment(image)
    assert one.shape == other.shape == image.shape
    assert not torch.equal(one, other)


def test_the_loss_is_that_of_finding_the_other_view():
    first, second = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    views = torch.cat([first, second])
    losses = []
    for one in range(10):
        alike = torch.cosine_similarity(views[one][None], views) / TEMPERATURE
        others = [other for other in range(10) if other != one]
        losses.append(alike[others].logsumexp(dim=0) - alike[(one + 5) % 10])
    assert nt_xent(first, second) == pytest.approx(float(torch.stack(losses).mean()))


def test_simclr_trains_a_trunk():
    images = torch.randint(256, (8, 1, 16, 16), dtype=torch.uint8)
    trunk = simclr(images, seed=0, steps=1)
    assert trunk(torch.rand(2, 1, 16, 16)).isfinite().all()
