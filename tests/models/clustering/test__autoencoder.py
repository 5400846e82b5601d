import math

import pytest
import torch

from models.clustering._autoencoder import Autoencoder


@pytest.mark.parametrize(("side", "smallest"), [(28, 3), (16, 2), (8, 1), (12, 1), (32, 4)])
def test_the_way_back_meets_every_size_again(side, smallest):
    network = Autoencoder(2, side, 10)
    images = torch.rand(3, 2, side, side)
    embedding, painted = network(images)
    assert embedding.shape == (3, 10)
    assert painted.shape == images.shape
    inner = network.encoder[:6](images)
    assert inner.shape[1:] == (128, smallest, smallest)


def test_the_layers_are_the_papers():
    network = Autoencoder(1, 28, 10)
    weights = [p.numel() for name, p in network.named_parameters() if name.endswith("weight")]
    encoder = [32 * 25, 64 * 32 * 25, 128 * 64 * 9, 1152 * 10]
    assert weights == [*encoder, *reversed(encoder)]


def test_the_decoder_is_left_out_on_request():
    embedding, painted = Autoencoder(1, 8, 3)(torch.rand(2, 1, 8, 8), reconstruct=False)
    assert embedding.shape == (2, 3)
    assert painted is None


def test_first_weights_are_glorots_and_depend_on_the_seed_alone():
    one, other = Autoencoder(1, 28, 10), Autoencoder(1, 28, 10)
    one.reset(3)
    torch.manual_seed(9)
    other.reset(3)
    for (name, value), twin in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(value, twin)
        if name.endswith("bias"):
            assert not value.any()
    limit = math.sqrt(6 / (25 * 32 + 25 * 64))
    weight = one.encoder[2].weight
    assert 0.98 * limit < weight.abs().max() <= limit
