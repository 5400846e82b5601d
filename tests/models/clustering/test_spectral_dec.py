import math

import pytest
import torch
from sklearn.datasets import make_moons
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from models.clustering import spectral_dec
from models.clustering.spectral_dec import SpectralDEC, components, spectral
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.functional.augmentations import jittered
from models.functional.shuffled import Shuffled
from models.training import cpu


def built(**changes):
    return SpectralDEC.Config(**changes).build(Pixels.Config().build())


def compared(images, shift=0.0, rotation=0.0):
    draw = torch.Generator().manual_seed(0)
    return components(Shuffled([images], seed=0), shift, rotation, draw, cpu(), seed=0)


@pytest.fixture
def moons():
    samples, classes = make_moons(200, noise=0.05, random_state=0)
    return torch.tensor(samples, dtype=torch.float32), classes


@pytest.fixture
def images():
    return torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "random"}, "start must be one of spectral, k-means, got 'random'"),
        ({"start_rotation": -1.0}, r"start_rotation in \[0, 180\]"),
        ({"start_shift": 0.5}, r"start_shift must be in \[0, 0.5\)"),
        ({"warm_up": -1}, "warm_up must be >= 0, got -1"),
        ({"shift": 0.5}, r"shift and start_shift must be in \[0, 0.5\)"),
        ({"num_clusters": 1}, "num_clusters must be >= 2"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        built(**changes)


@pytest.mark.parametrize("start", ["spectral", "k-means"])
def test_the_start_is_kept_and_sharpened(normal, held_out, start):
    model = built(start=start).fit([normal], [held_out])
    for labels in (model.start_labels_, model.labels_):
        assert torch.equal(labels[::2], labels[:1].expand(16))
        assert torch.equal(labels[1::2], 1 - labels[::2])
    again = built(start=start).fit([normal], [held_out])
    assert torch.equal(again.start_labels_, model.start_labels_)


def test_it_goes_without_reconstruction(normal, held_out):
    model = built().fit([normal], [held_out])
    assert all(math.isnan(each.reconstruction) for each in model.history_)


def test_shifts_and_rotations_stay_within_their_limits():
    dot = torch.zeros(200, 1, 20, 20)
    dot[:, :, 9:11, 9:11] = 1.0
    draw = torch.Generator().manual_seed(0)
    varied = jittered(dot, 0.1, 0.0, draw)
    columns = (varied.sum(dim=(1, 2)) * torch.arange(20)).sum(1) / varied.sum(dim=(1, 2, 3))
    moved = columns - 9.5
    assert moved.abs().max() <= 2.01
    assert moved.min() < -1.5
    assert moved.max() > 1.5
    turned = jittered(dot, 0.0, 10.0, draw)
    torch.testing.assert_close(turned.sum(dim=(1, 2, 3)), torch.full((200,), 4.0), rtol=0.1, atol=0)


def test_components_tell_as_much_of_distances_as_the_images(images):
    found, views = compared(images)
    assert views == []
    torch.testing.assert_close(torch.cdist(found, found), torch.cdist(*[images.flatten(1)] * 2))


def test_every_random_choice_follows_the_seed(normal, held_out, monkeypatch):
    seeds = []

    def watched(*args, random_state):
        seeds.append(random_state)
        return PCA(*args, random_state=random_state)

    monkeypatch.setattr(spectral_dec, "PCA", watched)
    models = [built(seed=seed).fit([normal], [held_out]) for seed in (3, 3, 4)]
    assert seeds == [3, 3, 4]
    losses = [model.pretraining_ for model in models]
    assert losses[0] == losses[1] != losses[2]


def test_views_for_the_start_are_shifted_and_turned_as_far_as_it_says(images):
    found, views = compared(images, rotation=90.0)
    assert len(views) == 20
    assert all(view.shape == found.shape for view in views)
    assert not torch.equal(views[0], views[1])
    _, shifted = compared(images, shift=0.2)
    assert not torch.allclose(shifted[0], found, atol=0.1)
    for nearly in ({"rotation": 1e-4}, {"shift": 1e-6}):
        _, views = compared(images, **nearly)
        torch.testing.assert_close(views[0], found, rtol=0.01, atol=1e-3)


def test_the_spectral_start_separates_half_moons_and_has_their_means(moons):
    embedding, classes = moons
    labels, centroids = spectral(embedding, embedding, [], 2, seed=0)
    assert adjusted_rand_score(classes, labels) == 1
    for cluster, centroid in enumerate(centroids):
        torch.testing.assert_close(centroid, embedding[labels == cluster].mean(dim=0))


def test_the_graph_is_of_the_images_and_the_centroids_are_in_the_embedding(moons):
    samples, classes = moons
    embedding = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    labels, centroids = spectral(embedding, samples, [samples + 0.01], 2, seed=0)
    assert adjusted_rand_score(classes, labels) == 1
    torch.testing.assert_close(centroids[1], embedding[labels == 1].mean(dim=0))


def test_fewer_different_images_than_clusters_are_refused():
    embedding = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).repeat(5, 1)
    with pytest.raises(TrainingError, match="3 clusters need as many different images, got 2"):
        spectral(embedding, embedding, [], 3, seed=0)
