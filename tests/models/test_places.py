import pytest
import torch

from models import places
from models.capabilities import Observable
from models.errors import InvalidInputError, NotFittedError
from models.functional.gaussian import Moments
from models.functional.movement import NUM_MOVEMENTS, movement
from models.functional.receptive_field import ReceptiveField
from models.functional.shared_frames import shared_frames, windows_of
from models.one_class.deep_anomaly import DeepAnomaly
from models.one_class.knn import NearestNeighbours
from models.one_class.motion_gaussian import MotionGaussian
from models.one_class.pooled_gaussian import PooledGaussian
from models.places import balance, main_scale, parts, place_features, widened


def test_movement_follows_the_features_of_the_encoder(encoder):
    encoder.eval()
    images = torch.rand(2, 6, 12, 16)
    found = place_features(encoder, images, side=1, flow="gradients").permute(0, 3, 1, 2)
    torch.testing.assert_close(found[:, :6], encoder(images))
    torch.testing.assert_close(found[:, 6:], movement(images, encoder.receptive_field, 6, 8))


def test_averaging_takes_the_places_around(encoder):
    images = torch.rand(1, 1, 12, 12)
    single, mean = (place_features(encoder.eval(), images, side=side) for side in (1, 3))
    torch.testing.assert_close(mean[0, 2, 3], single[0, 1:4, 2:5].mean(dim=(0, 1)))
    torch.testing.assert_close(mean[0, 0, 0], single[0, :2, :2].mean(dim=(0, 1)))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 3), (5, 5)])
def test_a_widened_field_is_where_the_gradient_is(encoder, row, column):
    images = torch.rand(1, 1, 12, 12, requires_grad=True)
    encoder.eval().layers[2] = torch.nn.Identity()
    features = place_features(encoder, images, side=3)
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


def test_the_main_direction_gets_a_deviation_of_one():
    moments = Moments(3)
    draw = torch.Generator().manual_seed(0)
    moments.update(
        torch.randn(200, 3, dtype=torch.float64, generator=draw) @ torch.rand(3, 3).double()
    )
    factor = main_scale(moments, 2)
    scaled = moments.scaled(factor.expand(3)).marginal(slice(2)).covariance(0.0)
    assert torch.linalg.eigvalsh(scaled)[-1].item() == pytest.approx(1)


def test_parts_in_order_are_the_batch(monkeypatch):
    monkeypatch.setattr(places, "PART_PIXELS", 2 * 4 * 5)
    images = torch.rand(5, 6, 4, 5)
    found = parts(images)
    assert [len(part) for part in found] == [2, 2, 1]
    assert torch.equal(torch.cat(found), images)


def test_an_image_larger_than_a_part_is_a_part(monkeypatch):
    monkeypatch.setattr(places, "PART_PIXELS", 3)
    assert [len(part) for part in parts(torch.rand(2, 1, 4, 5))] == [1, 1]


def test_parts_of_windows_of_a_clip_share_its_frames(monkeypatch):
    monkeypatch.setattr(places, "PART_PIXELS", 2 * 4 * 5)
    clip = torch.rand(9, 4, 5)
    second = parts(windows_of(clip, 6))[1]
    assert torch.equal(shared_frames(second), clip[2:])


def test_no_images_are_one_part():
    assert [len(part) for part in parts(torch.rand(0, 1, 4, 5))] == [0]


@pytest.fixture(params=[DeepAnomaly, MotionGaussian, PooledGaussian])
def config(request):
    return request.param.Config()


@pytest.fixture
def fitted(config, encoder, normal, held_out):
    return config.build(encoder).fit([normal], [held_out])


def test_observing_scores_as_calling_does(fitted, held_out):
    scores, expected = fitted.observe(held_out).scores, fitted(held_out)
    assert torch.equal(scores.image_score, expected.image_score)
    assert torch.equal(scores.anomaly_map, expected.anomaly_map)


def test_a_batch_in_parts_is_seen_as_a_whole(fitted, held_out, monkeypatch):
    whole = fitted.observe(held_out)
    monkeypatch.setattr(places, "PART_PIXELS", 2 * held_out[0, 0].numel())
    in_parts = fitted.observe(held_out)
    torch.testing.assert_close(in_parts.scores.image_score, whole.scores.image_score)
    torch.testing.assert_close(in_parts.scores.anomaly_map, whole.scores.anomaly_map)
    torch.testing.assert_close(in_parts.features, whole.features)


def test_the_vectors_of_the_training_images_have_the_moments_of_the_reference(fitted, normal):
    assert isinstance(fitted, Observable)
    features, reference = fitted.observe(normal).features, fitted.reference()
    assert features.shape[0] == len(normal)
    vectors = features.flatten(end_dim=1).double()
    torch.testing.assert_close(reference.mean, vectors.mean(dim=0))
    torch.testing.assert_close(reference.covariance, vectors.T.cov(correction=0))
    gap = (vectors - reference.mean) @ reference.whitener.mT
    gaussian = fitted.first if isinstance(fitted, DeepAnomaly) else fitted.gaussian
    torch.testing.assert_close(gap.norm(dim=1), gaussian(vectors))


def test_nothing_can_be_observed_before_fit(config, encoder, normal):
    for use in (lambda made: made.observe(normal), lambda made: made.reference()):
        with pytest.raises(NotFittedError, match="Call fit"):
            use(config.build(encoder))


def test_a_detector_without_a_gaussian_is_not_observable(encoder):
    assert not isinstance(NearestNeighbours.Config().build(encoder), Observable)


@pytest.mark.parametrize(
    "wrong",
    [{"shrinkage": 0.0}, {"false_alarm_rate": 1.0}, {"num_votes": 0}, {"neighbourhood": 2}],
)
def test_settings_out_of_range_are_refused(config, wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        type(config)(**wrong)


@pytest.mark.parametrize("kind", [MotionGaussian, PooledGaussian])
@pytest.mark.parametrize("wrong", [{"movement": -1.0}, {"change": -1.0}, {"flow": "by hand"}])
def test_settings_of_movement_out_of_range_are_refused(kind, wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        kind.Config(**wrong)
