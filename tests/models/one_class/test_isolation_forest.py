import pytest
import torch
from sklearn import ensemble

from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.functional.embeddings import sampled
from models.one_class.isolation_forest import IsolationForest


def fitted(normal, held_out, **settings):
    config = IsolationForest.Config(grid=12, num_trees=20, **settings)
    return config.build(Pixels.Config().build()).fit([normal], [held_out])


@pytest.mark.parametrize("each", [256, 16])
def test_scores_are_scikit_learns_with_their_sign_turned(normal, held_out, each):
    detector = fitted(normal, held_out, samples_per_tree=each, seed=3, max_samples=32)
    reference = ensemble.IsolationForest(
        n_estimators=20, max_samples=min(each, 32), random_state=3
    ).fit(sampled([normal.flatten(1)], 32, seed=3).numpy())
    images = torch.cat([held_out, normal, held_out + 0.5])
    expected = -reference.score_samples(images.flatten(1).numpy())
    assert detector(images).image_score.numpy() == pytest.approx(expected, rel=1e-6)


def test_no_leaf_lies_deeper_than_scoring_goes(normal, held_out):
    detector = fitted(normal, held_out, samples_per_tree=8)
    nodes = torch.arange(15).expand(20, -1)
    leaves = (detector.lefts_ == nodes) & (detector.rights_ == nodes)
    assert detector.features_.shape == (20, 15)
    reached = torch.zeros(20, dtype=torch.long)
    for _ in range(3):  # log2 of 8
        reached = detector.rights_.long().gather(1, reached[:, None])[:, 0]
    assert leaves.gather(1, reached[:, None]).all()


def test_one_image_is_too_few(normal, held_out):
    with pytest.raises(TrainingError, match="needs 2 images at least, got 1"):
        fitted(normal[:1], held_out)


@pytest.mark.parametrize("settings", [{"num_trees": 0}, {"samples_per_tree": 1}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidInputError, match="num_trees must be >= 1"):
        IsolationForest.Config(**settings)
