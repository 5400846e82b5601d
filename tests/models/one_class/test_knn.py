import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.one_class.knn import NearestNeighbours


def fitted(normal, held_out, **settings):
    config = NearestNeighbours.Config(grid=12, **settings)
    return config.build(Pixels.Config().build()).fit([normal], [held_out])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("num", [1, 4])
def test_scores_are_scikit_learns_distances(normal, held_out, metric, num):
    detector = fitted(normal, held_out, num_neighbours=num, metric=metric)
    reference = NearestNeighbors(metric=metric).fit(normal.flatten(1).numpy())
    distances, _ = reference.kneighbors(held_out.flatten(1).numpy(), num)
    found = detector(held_out).image_score.numpy()
    assert found == pytest.approx(distances[:, -1], rel=1e-4)


def test_the_angle_does_not_see_brightness(normal, held_out):
    detector = fitted(normal, held_out, metric="cosine")
    darker = detector(held_out / 2).image_score
    torch.testing.assert_close(darker, detector(held_out).image_score, rtol=1e-4, atol=1e-6)


def test_memory_is_bounded(normal, held_out):
    detector = fitted(normal, held_out, max_samples=10)
    assert detector.memory_.shape == (10, 144)
    assert detector.count_ == 10
    apart = torch.cdist(detector.memory_, normal.flatten(1).double())
    assert (apart.amin(dim=1) < 1e-5).all()


def test_what_it_cannot_do_is_refused(normal, held_out):
    with pytest.raises(TrainingError, match="there are only 32"):
        fitted(normal, held_out, num_neighbours=40)
    for settings in ({"num_neighbours": 0}, {"metric": "taxi"}):
        with pytest.raises(InvalidInputError, match="must be"):
            NearestNeighbours.Config(**settings)
