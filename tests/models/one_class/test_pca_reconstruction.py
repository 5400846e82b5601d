import pytest
import torch
from sklearn.decomposition import PCA

from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.one_class.pca_reconstruction import PCAReconstruction


def fitted(normal, held_out, **settings):
    config = PCAReconstruction.Config(grid=12, **settings)
    return config.build(Pixels.Config().build()).fit([normal], [held_out])


def test_scores_are_scikit_learns_reconstruction_errors(normal, held_out):
    detector = fitted(normal, held_out, explained=0.6)
    reference = PCA(n_components=0.6, svd_solver="full").fit(normal.flatten(1).double().numpy())
    vectors = held_out.flatten(1).double().numpy()
    left = vectors - reference.inverse_transform(reference.transform(vectors))
    expected = (left**2).sum(axis=1) ** 0.5
    assert int(detector.components_.any(dim=1).sum()) == reference.n_components_
    assert detector(held_out).image_score.numpy() == pytest.approx(expected, rel=1e-5)


def test_what_lies_in_the_normal_subspace_scores_zero(normal, held_out):
    detector = fitted(normal, held_out)
    inside = detector.mean_ + 3 * detector.components_[0] - detector.components_[1]
    assert detector(inside.float().view(1, 1, 12, 12)).image_score < 1e-5


def test_images_that_are_all_alike_are_refused(held_out):
    with pytest.raises(TrainingError, match="all alike"):
        fitted(torch.ones(5, 1, 12, 12), held_out)


def test_a_share_out_of_range_is_refused():
    with pytest.raises(InvalidInputError, match=r"explained must be in \(0, 1\), got 1"):
        PCAReconstruction.Config(explained=1.0)
