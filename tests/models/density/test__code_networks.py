import itertools
import math

import pytest
import torch

from models.density._code_networks import Autoencoder, Estimator, MaskedLinear


def test_the_code_halves_the_image_twice_and_lies_between_0_and_1():
    torch.manual_seed(0)
    networks = Autoencoder(2, 28, 20, base=4, code_dim=5).eval()
    images = torch.rand(3, 2, 28, 20)
    assert networks.encoder[:2](images).shape == (3, 8, 7, 5)
    codes, reconstructed = networks(images)
    assert codes.shape == (3, 5)
    assert reconstructed.shape == images.shape
    assert codes.min() > 0
    assert codes.max() < 1


def test_a_masked_layer_agrees_with_a_loop():
    torch.manual_seed(0)
    layer = MaskedLinear(4, 2, 3, see_itself=True)
    layer.bias.data.normal_()
    codes = torch.rand(5, 4, 2)
    expected = torch.zeros(5, 4, 3)
    for target in range(4):
        expected[:, target] = layer.bias[target]
        for source in range(target + 1):
            expected[:, target] += codes[:, source] @ layer.weight[target, :, source].T
    torch.testing.assert_close(layer(codes), expected)


def test_no_element_sees_itself_or_a_later_one():
    torch.manual_seed(0)
    estimator = Estimator(6, 4, 5)
    codes = torch.rand(1, 6, requires_grad=True)
    logits = estimator(codes)[0].abs().sum(dim=0)
    rows = [torch.autograd.grad(one, codes, retain_graph=True)[0][0] for one in logits]
    seen = torch.stack(rows) != 0
    assert torch.equal(seen, torch.ones(6, 6, dtype=torch.bool).tril(-1))


def test_bins_are_uniform_and_carry_no_gradient():
    estimator = Estimator(4, 2, 10)
    codes = torch.tensor([[0.0, 0.0999, 0.35, 1.0]], requires_grad=True)
    bins = estimator.bins(codes)
    assert bins.tolist() == [[0, 0, 3, 9]]
    assert not bins.requires_grad


def test_probabilities_of_all_codes_sum_to_one_and_samples_follow_them():
    torch.manual_seed(0)
    estimator = Estimator(3, 4, 3)
    for layer in estimator.layers:
        layer.bias.data.normal_()
    every = torch.tensor(list(itertools.product(range(3), repeat=3)))
    with torch.no_grad():
        logits = estimator((every + 0.5) / 3)
    picked = logits.log_softmax(dim=1).gather(1, every[:, None])[:, 0].sum(dim=1).exp()
    assert picked.sum().item() == pytest.approx(1, abs=1e-5)
    drawn = estimator.bins(estimator.sample(20_000, torch.Generator().manual_seed(0)))
    index = drawn @ torch.tensor([9, 3, 1])
    found = torch.bincount(index, minlength=27) / 20_000
    torch.testing.assert_close(found, picked, atol=0.02, rtol=0)
    assert (found - 1 / 27).abs().max() > 0.03


def test_first_weights_keep_the_spread_of_every_element():
    torch.manual_seed(0)
    layer = MaskedLinear(16, 32, 64, see_itself=True)
    spread = layer(torch.randn(2000, 16, 32)).std(dim=(0, 2))
    torch.testing.assert_close(spread, torch.full((16,), math.sqrt(2)), atol=0.15, rtol=0)
