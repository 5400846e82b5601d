import math

import pytest
import torch

from models.functional.sparse import sparse_autoencoder_loss, sparsity


def test_sparsity_is_zero_at_the_target():
    assert sparsity(torch.full((4, 3), 0.2), 0.2).item() == pytest.approx(0, abs=1e-6)


def test_sparsity_matches_a_divergence_computed_by_hand():
    activations = torch.tensor([[0.0, 0.1], [1.0, 0.1]])
    by_hand = 0.1 * math.log(0.1 / 0.5) + 0.9 * math.log(0.9 / 0.5)
    assert sparsity(activations, 0.1).item() == pytest.approx(by_hand, rel=1e-5)


def test_the_loss_adds_half_the_squared_error():
    samples, activations = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.full((2, 1), 0.3)
    loss = sparse_autoencoder_loss(samples, torch.zeros(2, 2), activations, target=0.3, weight=7.0)
    assert loss.item() == pytest.approx(5 / 2 / 2, rel=1e-5)
