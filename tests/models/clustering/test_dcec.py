import dataclasses
import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from models.clustering import AUGMENTED, Schedule
from models.clustering.dcec import DCEC
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from tests.models.clustering.conftest import SMALL


def built(**changes):
    return DCEC.Config(**{**SMALL, **changes}).build(Pixels.Config().build())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_clusters": 1}, "num_clusters must be >= 2"),
        ({"side": 10}, "side must be a multiple of 4"),
        ({"shrinkage": 0.0}, r"shrinkage in \(0, 1\]"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        built(**changes)


def test_the_start_is_that_of_k_means_on_the_embedding(normal, held_out, monkeypatch):
    seen = []
    fit_predict = KMeans.fit_predict
    monkeypatch.setattr(
        KMeans, "fit_predict", lambda self, x: seen.append((self.n_init, x)) or fit_predict(self, x)
    )
    model = built().fit([normal], [held_out])
    (num, embedding), *_ = seen
    assert num == 20
    assert embedding.shape == (32, 3)
    expected = KMeans(2, n_init=20, random_state=0).fit(embedding).labels_
    assert np.array_equal(model.start_labels_.numpy(), expected)


def test_the_spectral_start_is_kept_and_sharpened(normal, held_out):
    schedule = dataclasses.replace(SMALL["schedule"], start="spectral")
    model = built(schedule=schedule).fit([normal], [held_out])
    for labels in (model.start_labels_, model.labels_):
        assert torch.equal(labels[::2], labels[:1].expand(16))
        assert torch.equal(labels[1::2], 1 - labels[::2])
    again = built(schedule=schedule).fit([normal], [held_out])
    assert torch.equal(again.start_labels_, model.start_labels_)


def test_the_history_tells_losses_and_label_changes(normal, held_out):
    model = built().fit([normal], [held_out])
    assert len(model.pretraining_) == 12
    assert model.pretraining_[-1] < model.pretraining_[0]
    assert [each.iteration for each in model.history_] in ([0, 5], [0, 5, 10], [0, 5, 10, 12])
    first, *others = model.history_
    assert first.changed == 0.0
    assert math.isnan(first.divergence)
    assert all(each.divergence >= 0 and each.reconstruction > 0 for each in others)


def test_it_stops_once_no_label_changes(normal, held_out):
    schedule = Schedule(epochs=12, max_iterations=500, update_interval=5, batch_size=8)
    model = built(schedule=schedule).fit([normal], [held_out])
    assert model.history_[-1].iteration < 500
    assert model.history_[-1].changed < schedule.tolerance


def test_with_augmentation_it_goes_without_reconstruction(normal, held_out):
    assert (AUGMENTED.shift, AUGMENTED.rotation, AUGMENTED.reconstruction) == (0.1, 10.0, 0.0)
    small = Schedule(
        epochs=12,
        max_iterations=10,
        update_interval=5,
        gamma=1.0,
        reconstruction=0.0,
        shift=0.1,
        rotation=10.0,
    )
    model = built(schedule=small).fit([normal], [held_out])
    assert all(math.isnan(each.reconstruction) for each in model.history_)
    labels = model.labels_
    assert torch.equal(labels[1::2], 1 - labels[::2])


def test_images_that_are_all_alike_have_no_clusters(normal):
    with pytest.raises(TrainingError, match="2 clusters need as many different images, got 1"):
        built().fit([torch.full_like(normal, 0.5)], [normal])


def test_a_fit_that_fails_leaves_no_fitted_model(normal, held_out):
    model = built().fit([normal], [held_out])
    with pytest.raises(TrainingError):
        model.fit([torch.full_like(normal, 0.5)], [normal])
    assert model.threshold_.isnan()
    assert not model.history_
