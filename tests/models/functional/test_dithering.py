import pytest
import torch

from models.functional.dithering import dithered


def test_eight_bit_images_come_back_whatever_the_noise():
    levels = torch.arange(256).reshape(1, 1, 16, 16)
    for noise in (0.0, 0.5, 1 - 2**-24):
        assert torch.equal(
            dithered(levels.float() / 255, 256, torch.full((1, 16, 16), noise)), levels
        )


def test_a_gray_value_is_the_probability_of_a_one():
    images = torch.tensor([0.0, 0.25, 0.7, 1.0]).reshape(1, 1, 2, 2).expand(20_000, 1, 2, 2)
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    share = dithered(images, 2, noise).double().mean(dim=0).flatten()
    torch.testing.assert_close(share, torch.tensor([0, 0.25, 0.7, 1.0]).double(), atol=0.01, rtol=0)
    assert share[0] == 0
    assert share[3] == 1


def test_levels_of_a_few_keep_the_mean():
    images = torch.full((20_000, 1, 1, 1), 0.4)
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    levels = dithered(images, 4, noise)
    assert set(levels.unique().tolist()) == {1, 2}  # 0.4 x 3 = 1.2
    assert levels.double().mean().item() == pytest.approx(1.2, abs=0.01)


def test_what_lies_outside_is_clipped():
    images = torch.tensor([-3.0, 4.0]).reshape(1, 1, 1, 2)
    assert dithered(images, 16, torch.zeros(1, 1, 2)).flatten().tolist() == [0, 15]
