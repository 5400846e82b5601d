import pytest
import torch
from sklearn.covariance import ShrunkCovariance

from models.contracts import Additive
from models.errors import InvalidInputError, TrainingError
from models.functional.gaussian import Moments
from models.one_class.pooled_gaussian import PooledGaussian


@pytest.fixture
def detector(encoder):
    return PooledGaussian.Config().build(encoder)


def test_its_statistics_add_up(detector):
    assert isinstance(detector, Additive)


def test_distances_are_those_of_scikit_learn(encoder, normal, held_out):
    # One receptive field a pixel and no balancing of units: the trunk's features alone.
    config = PooledGaussian.Config(movement=0.0, neighbourhood=1, num_votes=1, shrinkage=0.2)
    detector = config.build(encoder).fit([normal], [held_out])
    vectors = detector._features(normal).flatten(end_dim=2).double()
    scale = detector.gaussian.scale_[0]
    reference = ShrunkCovariance(shrinkage=0.2).fit((vectors * scale).numpy())
    found = detector.gaussian(detector._features(held_out)).flatten()
    other = (detector._features(held_out).flatten(end_dim=2).double() * scale).numpy()
    expected = torch.from_numpy(reference.mahalanobis(other)).sqrt()
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_fitting_on_moments_is_fitting_on_images(detector, normal, held_out):
    expected = detector.fit([normal], [held_out])(held_out)
    moments = detector.moments([normal])
    other = detector.config.build(detector.encoder).fit_moments(moments, [held_out])
    assert torch.equal(other(held_out).image_score, expected.image_score)
    assert torch.equal(other.limit_, detector.limit_)


def test_moments_of_images_are_the_sum_of_those_of_each(detector, normal):
    whole = detector.moments([normal])
    parts = [detector.moments([image[None]]) for image in normal]
    total = Moments.combined(parts, len(whole.mean))
    assert total.count == whole.count == 32 * 36
    torch.testing.assert_close(total.mean, whole.mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(total.scatter, whole.scatter, rtol=1e-5, atol=1e-3)


def test_adding_and_forgetting_images_is_fitting_on_what_remains(detector, normal, held_out):
    # The detector after the difference, against one that never saw what was removed.
    removed, kept, added = normal[:4], normal[4:20], normal[20:]
    each = {
        name: detector.moments([part])
        for name, part in (("removed", removed), ("kept", kept), ("added", added))
    }
    updated = Moments.combined([each["removed"], each["kept"]], len(each["kept"].mean))
    updated.merge(each["added"])
    updated.subtract(each["removed"])
    expected = detector.fit([kept, added], [held_out]).statistics()
    found = detector.fit_moments(updated, [held_out]).statistics()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-8, atol=1e-9)


def test_moments_need_no_fit_and_change_nothing(detector, normal, held_out):
    assert detector.moments([normal]).count == 32 * 36
    before = {
        name: value.clone()
        for name, value in detector.fit([normal], [held_out]).state_dict().items()
    }
    detector.moments([held_out + 1])
    assert all(torch.equal(before[name], v) for name, v in detector.state_dict().items())


def test_false_alarms_on_calibration_images_stay_within_the_rate(encoder, normal, held_out):
    for rate in (0.05, 0.25):
        config = PooledGaussian.Config(false_alarm_rate=rate)
        detector = config.build(encoder).fit([normal], [held_out])
        alarms = (detector(held_out).image_score >= detector.threshold).double().mean()
        assert rate - 1.5 / 24 < alarms <= rate


def test_no_images_are_refused(detector, normal):
    with pytest.raises(TrainingError, match="got 0 equal ones"):
        detector.fit([], [normal])
    with pytest.raises(TrainingError, match="calibration"):
        detector.fit([normal], [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"false_alarm_rate": 0.0},
        {"shrinkage": 0.0},
        {"movement": -1.0},
        {"change": -1.0},
        {"num_votes": 0},
        {"neighbourhood": 2},
    ],
)
def test_options_outside_their_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        PooledGaussian.Config(**wrong)
