import pytest
import torch

from models.errors import InvalidInputError, TrainingError
from models.one_class._sparse_layer import SparseLayerConfig, train_sparse_layer

CONFIG = SparseLayerConfig(kernels=12, epochs=40, num_samples=2000)


@pytest.fixture
def samples():
    draw = torch.Generator().manual_seed(0)
    return torch.randn(2000, 3, generator=draw) @ torch.randn(3, 8, generator=draw) + 20


def rates(samples, config):
    kernels, biases = train_sparse_layer(samples, torch.ones(8), config, seed=0)
    return (samples @ kernels.T + biases).sigmoid().mean(dim=0)


def test_a_heavier_penalty_makes_units_active_as_rarely_as_wanted(samples):
    means = [
        rates(samples, SparseLayerConfig(kernels=12, epochs=40, sparsity_weight=weight)).mean()
        for weight in (0.0, 3.0, 30.0)
    ]
    assert means[0] > means[1] > means[2]
    assert means[2].item() == pytest.approx(CONFIG.sparsity, abs=0.03)


def test_the_scale_is_folded_into_the_layer(samples):
    factors = torch.tensor([1.0, 5, 0.2, 1, 1, 3, 1, 1])
    kernels, biases = train_sparse_layer(samples, torch.ones(8), CONFIG, seed=0)
    scaled, scaled_biases = train_sparse_layer(samples / factors, factors, CONFIG, seed=0)
    expected = samples @ kernels.T + biases
    torch.testing.assert_close(
        (samples / factors) @ scaled.T + scaled_biases, expected, rtol=1e-2, atol=5e-2
    )


def test_global_randomness_is_left_alone(samples):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    train_sparse_layer(samples, torch.ones(8), CONFIG, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loss_that_is_not_finite_is_refused(samples):
    samples[0, 0] = torch.inf
    with pytest.raises(TrainingError, match="must be finite"):
        train_sparse_layer(samples, torch.ones(8), CONFIG, seed=0)


@pytest.mark.parametrize("wrong", [{"kernels": 0}, {"sparsity": 1.0}, {"learning_rate": 0.0}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        SparseLayerConfig(**wrong)
