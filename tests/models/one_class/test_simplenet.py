import pytest
import torch

from models.errors import InvalidInputError, TrainingError
from models.one_class.simplenet import SimpleNet
from tests.models.conftest import noise
from tests.models.tiny import Tiny

FEW = {"num_steps": 60, "width": 32}


def built(**settings):
    torch.manual_seed(0)
    return SimpleNet.Config(**{**FEW, **settings}).build(Tiny())


def test_training_tells_noise_from_features():
    detector = built().fit([noise(30, 0)])
    features = detector._embed(noise(20, 1))
    noisy = features + detector.deviation_ * torch.randn(
        features.shape, generator=torch.Generator().manual_seed(2)
    )
    untrained = built(num_steps=1).fit([noise(30, 0)])
    gaps = [
        float((each._distances(noisy) - each._distances(features)).mean().detach())
        for each in (detector, untrained)
    ]
    assert gaps[0] > 0.03
    assert gaps[0] > 3 * gaps[1]


def test_held_out_scores_are_of_networks_that_have_not_seen_the_group():
    images = noise(30, 0)
    detector = built().fit([images])
    assert len(detector.held_out_.image_score) == 30
    own = detector(images).image_score.double()
    assert not torch.allclose(detector.held_out_.image_score, own)


def test_a_feature_that_never_varies_does_no_harm():
    detector = built()
    with torch.no_grad():
        detector.encoder.layers[0].weight[0] = 0
    scores = detector.fit([noise(30, 0)])(noise(3, 1)).image_score
    assert scores.isfinite().all()


def test_places_that_are_all_alike_are_refused():
    detector = built()
    with torch.no_grad():
        for parameter in detector.encoder.parameters():
            parameter.zero_()
    with pytest.raises(TrainingError, match="places that differ"):
        detector.fit([noise(24, 0)])


@pytest.mark.parametrize("settings", [{"noise": 0.0}, {"width": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidInputError, match="must be >= 1 and noise > 0"):
        SimpleNet.Config(**settings)
