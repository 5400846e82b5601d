import pytest
import torch

from models.functional.gaussian import Moments
from models.functional.movement import NUM_MOVEMENTS, movement
from models.functional.receptive_field import ReceptiveField
from models.one_class._features import balance, place_features, widened


def test_movement_follows_the_features_of_the_encoder(encoder):
    encoder.eval()
    images = torch.rand(2, 6, 12, 16)
    found = place_features(encoder, images, side=1, with_movement=True).permute(0, 3, 1, 2)
    torch.testing.assert_close(found[:, :6], encoder(images))
    torch.testing.assert_close(found[:, 6:], movement(images, encoder.receptive_field, 6, 8))


def test_averaging_takes_the_places_around(encoder):
    images = torch.rand(1, 1, 12, 12)
    single, mean = (
        place_features(encoder.eval(), images, side=side, with_movement=False) for side in (1, 3)
    )
    torch.testing.assert_close(mean[0, 2, 3], single[0, 1:4, 2:5].mean(dim=(0, 1)))
    torch.testing.assert_close(mean[0, 0, 0], single[0, :2, :2].mean(dim=(0, 1)))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 3), (5, 5)])
def test_a_widened_field_is_where_the_gradient_is(encoder, row, column):
    images = torch.rand(1, 1, 12, 12, requires_grad=True)
    encoder.eval().layers[2] = torch.nn.Identity()
    features = place_features(encoder, images, side=3, with_movement=False)
    features[0, row, column].sum().backward()
    seen = images.grad[0, 0] != 0
    rows, columns = seen.any(dim=1).nonzero()[:, 0], seen.any(dim=0).nonzero()[:, 0]
    found = widened(encoder.receptive_field, 3).box(row, column, 12, 12)
    assert found == tuple(int(v) for v in (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1))


def test_one_place_alone_is_not_widened():
    assert widened(ReceptiveField(51, 8, 18), 1) == (51, 8, 18)


def test_balance_evens_out_every_scale():
    draw = torch.Generator().manual_seed(0)
    mixing = torch.rand(3, 3, dtype=torch.float64, generator=draw) * 50
    trunk = torch.randn(500, 3, dtype=torch.float64, generator=draw) @ mixing
    scales = torch.logspace(-3, 3, NUM_MOVEMENTS, dtype=torch.float64)
    scales[-1] = 0.0
    moved = torch.randn(500, NUM_MOVEMENTS, dtype=torch.float64, generator=draw) * scales
    moments = Moments(3 + NUM_MOVEMENTS)
    moments.update(torch.cat([trunk, moved], dim=1))
    covariance = moments.scaled(balance(moments, 3, 10.0, 2.0)).covariance(0.0)
    assert torch.linalg.eigvalsh(covariance[:3, :3])[-1].item() == pytest.approx(1)
    expected = [100.0] * 7 + [4.0] * 6 + [100.0, 0.0]
    assert covariance.diagonal()[3:].tolist() == pytest.approx(expected)


def test_changes_are_left_out_without_a_spread():
    moments = Moments(1 + NUM_MOVEMENTS)
    moments.update(torch.rand(50, 1 + NUM_MOVEMENTS, dtype=torch.float64))
    factors = balance(moments, 1, 10.0, 0.0)
    assert (factors == 0).nonzero()[:, 0].tolist() == list(range(8, 14))
