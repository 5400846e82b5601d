import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

from models.contracts import Additive
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.one_class.gaussian_features import GaussianFeatures
from tests.models.conftest import noise
from tests.models.tiny import Tiny


def built(encoder=None, **settings):
    torch.manual_seed(0)
    return GaussianFeatures.Config(**settings).build(encoder or Tiny())


def test_squared_distances_of_the_layers_are_added():
    encoder = Pixels.Config(channels=3).build()
    encoder.layer_names, encoder.layer_dims = ("first", "second"), (1, 2)
    images = torch.rand(40, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    detector = built(encoder, shrinkage=0.2).fit([images])
    means = images.double().mean(dim=(2, 3)).numpy()
    image, squares = means[0] + 0.3, 0.0
    for here in (slice(0, 1), slice(1, 3)):
        part = np.atleast_2d(np.cov(means[:, here].T, bias=True))
        shrunk = 0.8 * part + 0.2 * np.trace(part) / len(part) * np.eye(len(part))
        squares += mahalanobis(image[here], means[:, here].mean(0), np.linalg.inv(shrunk)) ** 2
    found = detector(images[:1] + 0.3).image_score.item()
    assert found == pytest.approx(squares**0.5, rel=1e-4)


def test_adding_and_forgetting_is_a_fit_on_what_remains():
    images, held_out = noise(60, 0), noise(24, 1)
    detector = built()
    assert isinstance(detector, Additive)
    moments = detector.moments(images[:40].split(9))
    moments.merge(detector.moments([images[40:]]))
    moments.subtract(detector.moments([images[5:8]]))
    updated = detector.fit_moments(moments, [held_out]).state_dict()
    whole = built().fit([torch.cat([images[:5], images[8:]])], [held_out]).state_dict()
    for name in ("mean_", "scatter_", "threshold_"):
        torch.testing.assert_close(updated[name], whole[name], rtol=1e-8, atol=1e-8)
    assert detector.learned_moments().count == 57


def test_images_that_are_all_alike_are_refused():
    with pytest.raises(TrainingError, match="got 24, all alike"):
        built().fit([torch.full((24, 1, 12, 12), 0.5)])


def test_shrinkage_out_of_range_is_refused():
    with pytest.raises(InvalidInputError, match="shrinkage must be in"):
        GaussianFeatures.Config(shrinkage=0.0)
