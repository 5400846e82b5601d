import pytest
import torch

from models.capabilities import Observable
from models.errors import InvalidInputError, NotFittedError
from models.one_class import _parts
from models.one_class.deep_anomaly import DeepAnomaly
from models.one_class.knn import NearestNeighbours
from models.one_class.pooled_gaussian import PooledGaussian


@pytest.fixture(params=[DeepAnomaly, PooledGaussian])
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
    monkeypatch.setattr(_parts, "PART_PIXELS", 2 * held_out[0, 0].numel())
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
    torch.testing.assert_close(gap.norm(dim=1), fitted._learned()(vectors))


def test_nothing_can_be_observed_before_fit(config, encoder, normal):
    for use in (lambda made: made.observe(normal), lambda made: made.reference()):
        with pytest.raises(NotFittedError, match="Call fit"):
            use(config.build(encoder))


def test_a_detector_without_a_gaussian_is_not_observable(encoder):
    assert not isinstance(NearestNeighbours.Config().build(encoder), Observable)


@pytest.mark.parametrize(
    "wrong",
    [{"shrinkage": 0.0}, {"false_alarm_rate": 1.0}, {"num_votes": 0}, {"neighbourhood": 2},
     {"movement": -1.0}, {"change": -1.0}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(config, wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        type(config)(**wrong)
