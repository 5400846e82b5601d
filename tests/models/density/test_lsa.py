import pytest
import torch

from models.density.lsa import Lsa
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
        model._calibrate([images(32, 1)])
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
