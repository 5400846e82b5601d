import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

from models.capabilities import Box, TracesChannels
from models.contracts import Additive
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.one_class import _still
from models.one_class.padim import PaDiM
from tests.models.conftest import noise
from tests.models.tiny import Tiny


def built(encoder=None, **settings):
    torch.manual_seed(0)
    return PaDiM.Config(**settings).build(encoder or Tiny())


def colour(num, seed=0, size=6):
    return torch.rand(num, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_distances_are_those_of_scipy_at_each_place():
    images, others = colour(40), colour(24, 1)
    settings = {"pooling": 1, "smoothing": 0.0, "shrinkage": 0.2}
    detector = built(Pixels.Config(channels=3).build(), **settings).fit([images], [others])
    found = detector(others).anomaly_map
    variance = images.double().var(dim=0, correction=0).mean()
    for row, column in ((0, 0), (2, 5)):
        samples = images[:, :, row, column].double().numpy()
        covariance = 0.8 * np.cov(samples.T, bias=True) + 0.2 * float(variance) * np.eye(3)
        expected = [
            mahalanobis(pixel, samples.mean(axis=0), np.linalg.inv(covariance))
            for pixel in others[:, :, row, column].double().numpy()
        ]
        np.testing.assert_allclose(found[:, row, column], expected, rtol=1e-4)


def test_a_place_is_described_by_the_samples_of_its_neighbours_too():
    images = colour(40)
    settings = {"pooling": 3, "shrinkage": 0.2}
    detector = built(Pixels.Config(channels=3).build(), **settings).fit([images])
    mean, whitener = detector._gaussians()
    for row, column, rows, columns in ((2, 3, (1, 4), (2, 5)), (0, 5, (0, 2), (4, 6))):
        part = images[:, :, slice(*rows), slice(*columns)].double()
        samples = part.permute(0, 2, 3, 1).reshape(-1, 3)
        torch.testing.assert_close(mean[row, column].double(), samples.mean(dim=0))
        target = 0.2 * images.double().var(dim=0, correction=0).mean()
        covariance = 0.8 * samples.T.cov(correction=0) + target * torch.eye(3)
        inverse = whitener[row * 6 + column].double()
        torch.testing.assert_close(inverse.T @ inverse, covariance.inverse(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [32, 3])
def test_adding_and_forgetting_is_a_fit_on_what_remains(side):
    images, held_out = noise(60, 0), noise(24, 1)
    detector = built(side=side)
    assert isinstance(detector, Additive)
    moments = detector.moments(images[:40].split(9))
    moments.merge(detector.moments([images[40:]]))
    moments.subtract(detector.moments([images[5:8]]))
    updated = detector.fit_moments(moments, [held_out]).state_dict()
    kept = torch.cat([images[:5], images[8:]])
    whole = built(side=side).fit([kept], [held_out]).state_dict()
    for name in ("mean_", "scatter_", "threshold_"):
        torch.testing.assert_close(updated[name], whole[name], rtol=1e-8, atol=1e-8)
    assert updated["count_"] == whole["count_"]


def test_what_is_usual_at_a_place_is_the_same_after_adding_as_after_a_fit(monkeypatch):
    monkeypatch.setattr(_still, "FEWEST", 10)
    images, held_out, new = noise(60, 0), noise(24, 1), noise(8, 2)
    moments = built().moments([images[:40]])
    moments.merge(built().moments([images[40:]]))
    updated, whole = built().fit_moments(moments, [held_out]), built().fit([images], [held_out])
    torch.testing.assert_close(updated.statistics()["places"], whole.statistics()["places"])
    torch.testing.assert_close(updated(new).image_score, whole(new).image_score)
    assert not torch.equal(whole(new).image_score, whole(new).anomaly_map.amax(dim=(1, 2)))
    assert (whole.held_out_.image_score >= whole.threshold).sum() <= 1


def test_a_detector_of_before_scores_by_the_peak_of_its_map(monkeypatch):
    monkeypatch.setattr(_still, "FEWEST", 10)
    state = built().fit([noise(30, 0)]).state_dict()
    for name in ("places_", "pixel_threshold_"):
        del state[name]
    former = built()
    former.load_state_dict(state)
    scores = former(noise(3, 1))
    assert torch.equal(scores.image_score, scores.anomaly_map.amax(dim=(1, 2)))
    assert former.pixel_threshold == former.threshold


def test_what_was_learned_can_be_had_back_from_its_weights():
    images = noise(30, 0)
    fresh = built()
    fresh.load_state_dict(built().fit([images]).state_dict())
    learned, expected = fresh.learned_moments(), built().moments([images])
    assert learned.count == expected.count == 30
    torch.testing.assert_close(learned.scatter, expected.scatter)


def test_large_images_share_gaussians():
    detector = built(side=4).fit([noise(30, 0)], [noise(24, 1)])
    assert detector.mean_.shape == (3, 3, 6)  # 6 x 6 places, 2 x 2 of them share one
    assert detector.count_ == 120
    odd = built(side=4).fit([noise(30, 0)[:, :, :, :9]], [noise(24, 1)[:, :, :, :9]])
    assert odd.mean_.shape == (3, 3, 6)
    assert odd(noise(2, 0)[:, :, :, :9]).anomaly_map.shape == (2, 12, 9)


def test_the_layer_and_the_channels_that_speak_are_those_that_changed():
    encoder = Pixels.Config(channels=3).build()
    encoder.layer_names, encoder.layer_dims = ("red", "others"), (1, 2)
    detector = built(encoder).fit([colour(40)])
    assert isinstance(detector, TracesChannels)
    image = colour(1, 5)[0].clone()
    image[2, 4, 1] += 5
    (found,) = detector.contributions(image, [Box(3, 0, 6, 3)])
    assert (found.place.top, found.place.left) == (4, 1)
    layer, number, share = found.channels[0]
    assert (layer, number) == ("others", 1)
    assert share > 0.9
    assert sum(found.layers.values()) == pytest.approx(1)
    assert found.layers["others"] > 0.9
    other = detector.contributions(image, [Box(0, 3, 2, 6)])[0]
    assert other.place.top < 2
    assert other.distance < found.distance
    with pytest.raises(InvalidInputError, match="at least one pixel"):
        detector.contributions(image, [Box(2, 2, 2, 2)])


def test_a_place_that_never_varied_does_not_outweigh_all_others():
    images = noise(40, 0)
    images[:, :, :4] = 0.5
    detector = built().fit([images])
    assert torch.isfinite(detector(noise(3, 1)).image_score).all()
    assert detector.threshold < 100


def test_images_of_another_size_are_refused():
    detector = built().fit([noise(30, 0)])
    with pytest.raises(InvalidInputError, match="6 x 6 Gaussians, got 8 x 6"):
        detector(torch.rand(1, 1, 16, 12))
    with pytest.raises(InvalidInputError, match=r"one size, got \(16, 12\) after others"):
        detector.moments([noise(2, 0), torch.rand(1, 1, 16, 12)])


def test_images_that_are_all_alike_are_refused():
    with pytest.raises(TrainingError, match="got 24, all alike"):
        built().fit([torch.full((24, 1, 12, 12), 0.5)])
    with pytest.raises(TrainingError, match="at least 2 images that differ, got 0"):
        built().fit_moments(built().moments([]), [noise(24, 0)])


@pytest.mark.parametrize("settings", [{"shrinkage": 0.0}, {"side": 0}, {"pooling": 2}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidInputError, match="shrinkage must be in"):
        PaDiM.Config(**settings)
