import itertools
import math

import pytest
import torch

from models.contracts import silent
from models.density.lsa import Autoencoder, Estimator, Lsa, MaskedLinear
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError


def images(num, seed):
    """One bright square at a random place: (num, 1, 8, 8)."""
    draw = torch.Generator().manual_seed(seed)
    found = torch.zeros(num, 1, 8, 8)
    for image, (row, column) in zip(
        found, torch.randint(1, 5, (num, 2), generator=draw), strict=True
    ):
        image[:, row : row + 3, column : column + 3] = 1
    return found


def build(**settings):
    small = {
        "image_size": (8, 8),
        "width": 4,
        "code_dim": 6,
        "bins": 20,
        "estimator_width": 4,
        "epochs": 8,
        "batch_size": 16,
        "learning_rate": 5e-3,
    }
    return Lsa.Config(**{**small, **settings}).build(Pixels.Config().build())


@pytest.fixture(scope="module")
def fitted():
    return build().fit([images(64, 0)], [images(32, 1)])


def test_the_score_is_the_sum_of_both_parts_on_the_scale_of_the_calibration_images(fitted):
    calibration, others = images(32, 1), torch.rand(5, 1, 8, 8)
    expected = torch.zeros(5).double()
    for part in (
        lambda batch: -fitted.log_likelihood(batch),
        lambda batch: ((batch - fitted.networks.autoencoder(batch)[1]) ** 2).sum(dim=(1, 2, 3)),
    ):
        with torch.no_grad():
            held, values = part(calibration).double(), part(others).double()
        expected += (values - held.min()) / (held.max() - held.min())
    torch.testing.assert_close(fitted(others).image_score.double(), expected, rtol=1e-4, atol=1e-4)


def test_a_relative_error_is_the_share_of_an_images_variance_that_is_not_explained(fitted):
    relative = build(relative_error=True).fit([images(64, 0)], [images(32, 1)])
    faint, flat = images(3, 2) * 0.1, torch.full((1, 1, 8, 8), 0.5)
    batch = torch.cat([images(3, 2), faint, flat])
    with torch.no_grad():
        squared = (batch - relative.networks.autoencoder(batch)[1]).double() ** 2
    squared = squared.sum(dim=(1, 2, 3))
    _, misfit, _, _ = relative._parts(batch)
    variation = 64 * batch.double().flatten(1).var(dim=1, correction=0)
    torch.testing.assert_close(misfit[:6], (squared / variation)[:6])
    # An even image has no variance: it counts as that of rounding to 8 bits.
    torch.testing.assert_close(misfit[6], squared[6] * 255**2 / 64)
    assert relative(batch).image_score.isfinite().all()
    torch.testing.assert_close(fitted._parts(batch)[0], relative._parts(batch)[0])  # alike trained
    held = relative._parts(images(32, 1))[1]
    torch.testing.assert_close(relative.error_range_, torch.stack([held.min(), held.max()]))


def test_the_likelihood_is_that_of_the_bins_of_the_code(fitted):
    batch = images(4, 2)
    networks = fitted.networks
    with torch.no_grad():
        codes = networks.autoencoder.encoder(batch)
        logs = networks.estimator(codes).log_softmax(dim=1)
    expected = [
        sum(logs[place, int(code * 20), element] for element, code in enumerate(row))
        for place, row in enumerate(codes)
    ]
    torch.testing.assert_close(fitted.log_likelihood(batch), torch.stack(expected))


def test_a_heavy_density_is_learnt_at_the_images_expense(fitted):
    held = images(32, 1)
    heavy = build(weight=100.0).fit([images(64, 0)], [held])
    assert heavy.log_likelihood(held).mean() > fitted.log_likelihood(held).mean()
    assert heavy.error_range_.mean() > fitted.error_range_.mean()


def test_saturated_codes_are_counted():
    model = build(epochs=1).fit([images(32, 0)], [images(32, 1)])
    last = model.networks.autoencoder.encoder[-2]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([50.0, -50.0, 50.0, 0.0, 0.0, 0.0]))
        model._calibrate([images(32, 1)], silent)
    assert float(model.statistics()["saturated"]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_size": (10, 12)},
        {"image_size": (0, 4)},
        {"bins": 1},
        {"code_dim": 0},
        {"weight": -1.0},
        {"batch_size": 1},
    ],
)
def test_sizes_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError):
        Lsa.Config(**wrong)


def test_images_of_another_size_than_the_recipe_says_are_refused_before_training():
    with pytest.raises(InvalidInputError, match="image_size"):
        build().fit([torch.rand(8, 1, 12, 12)], [torch.rand(8, 1, 12, 12)])


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
