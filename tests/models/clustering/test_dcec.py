import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score

from models.clustering.dcec import (
    DCEC,
    Autoencoder,
    ClusteredAutoencoder,
    DeepClustering,
    check_no_cluster_is_empty,
    k_means,
    resized,
)
from models.contracts import silent
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.functional.shuffled import Shuffled
from models.training import cpu


def built(**changes):
    return DCEC.Config(**changes).build(Pixels.Config().build())


def stages(images, augment=None, **changes):
    """Both stages of the training on images of 8 x 8 pixels."""
    config = DCEC.Config(**{"epochs": 3, "batch_size": 4, **changes})
    clustering = ClusteredAutoencoder(1, config)
    clustering.reset(0)
    source = Shuffled([images], seed=0)
    return DeepClustering(
        clustering, source, config, fabric=cpu(), progress=silent, augment=augment
    )


@pytest.fixture
def images():
    return torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_clusters": 1}, "num_clusters must be >= 2"),
        ({"side": 10}, "side must be a multiple of 4"),
        ({"shrinkage": 0.0}, r"shrinkage in \(0, 1\]"),
        ({"epochs": 0}, "must be >= 1, got 0"),
        ({"gamma": 0.0}, "gamma must be > 0"),
        ({"tolerance": -0.1}, "tolerance and peak_rate >= 0, got"),
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


def test_k_means_is_that_of_scikit_learn():
    samples, classes = make_moons(200, noise=0.05, random_state=0)
    embedding = torch.tensor(samples, dtype=torch.float32)
    labels, centroids = k_means(embedding, 2, seed=3)
    expected = KMeans(2, n_init=20, random_state=3).fit(embedding.double().numpy())
    assert np.array_equal(labels.numpy(), expected.labels_)
    np.testing.assert_allclose(centroids.numpy(), expected.cluster_centers_, rtol=1e-6)
    assert adjusted_rand_score(classes, labels) < 0.5
    with pytest.raises(TrainingError, match="3 clusters need as many different images, got 2"):
        k_means(torch.tensor([[0.0, 1.0], [2.0, 3.0]]).repeat(5, 1), 3, seed=0)


def test_the_history_tells_losses_and_label_changes(normal, held_out):
    model = built().fit([normal], [held_out])
    assert len(model.pretraining_) == 12
    assert model.pretraining_[-1] < model.pretraining_[0]
    assert [each.iteration for each in model.history_] in ([0, 5], [0, 5, 10], [0, 5, 10, 12])
    first, *others = model.history_
    assert first.changed == 0.0
    assert math.isnan(first.divergence)
    assert all(each.divergence >= 0 and each.reconstruction > 0 for each in others)


def test_the_seed_orders_the_images_too(normal, held_out):
    model = built(seed=1).fit([normal], [held_out])
    losses = []
    for order in (0, 1):
        clustering = ClusteredAutoencoder(1, model.config)
        clustering.reset(1)
        images = Shuffled([resized(normal, model.config.side)], seed=order)
        work = DeepClustering(clustering, images, model.config, fabric=cpu(), progress=silent)
        losses.append(work.pretrain())
    assert model.pretraining_ == losses[1] != losses[0]


def test_it_stops_once_no_label_changes(normal, held_out):
    model = built(max_iterations=500).fit([normal], [held_out])
    assert model.history_[-1].iteration < 500
    assert model.history_[-1].changed < model.config.tolerance


def test_images_that_are_all_alike_have_no_clusters(normal):
    with pytest.raises(TrainingError, match="2 clusters need as many different images, got 1"):
        built().fit([torch.full_like(normal, 0.5)], [normal])


def test_a_fit_that_fails_leaves_no_fitted_model(normal, held_out):
    model = built().fit([normal], [held_out])
    with pytest.raises(TrainingError):
        model.fit([torch.full_like(normal, 0.5)], [normal])
    assert model.threshold_.isnan()
    assert not model.history_


@pytest.mark.parametrize(("side", "smallest"), [(28, 3), (16, 2), (8, 1), (12, 1), (32, 4)])
def test_the_way_back_meets_every_size_again(side, smallest):
    network = Autoencoder(2, side, 10)
    images = torch.rand(3, 2, side, side)
    embedding, painted = network(images)
    assert embedding.shape == (3, 10)
    assert painted.shape == images.shape
    inner = network.encoder[:6](images)
    assert inner.shape[1:] == (128, smallest, smallest)


def test_the_layers_are_the_papers():
    network = Autoencoder(1, 28, 10)
    weights = [p.numel() for name, p in network.named_parameters() if name.endswith("weight")]
    encoder = [32 * 25, 64 * 32 * 25, 128 * 64 * 9, 1152 * 10]
    assert weights == [*encoder, *reversed(encoder)]


def test_the_decoder_is_left_out_on_request():
    embedding, painted = Autoencoder(1, 8, 3)(torch.rand(2, 1, 8, 8), reconstruct=False)
    assert embedding.shape == (2, 3)
    assert painted is None


def test_first_weights_are_glorots_and_depend_on_the_seed_alone():
    one, other = Autoencoder(1, 28, 10), Autoencoder(1, 28, 10)
    one.reset(3)
    torch.manual_seed(9)
    other.reset(3)
    for (name, value), twin in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(value, twin)
        if name.endswith("bias"):
            assert not value.any()
    limit = math.sqrt(6 / (25 * 32 + 25 * 64))
    weight = one.encoder[2].weight
    assert 0.98 * limit < weight.abs().max() <= limit


def test_pretraining_gives_the_mean_loss_of_each_epoch(images):
    losses = stages(images, epochs=40).pretrain()
    assert len(losses) == 40
    assert losses[-1] < losses[0] / 2


def test_a_cycle_of_the_rate_changes_the_training_and_learns(images):
    kept, cycled = stages(images, epochs=40), stages(images, epochs=40, peak_rate=3e-3)
    losses = cycled.pretrain()
    assert losses[-1] < losses[0] / 2
    assert losses != kept.pretrain()


def test_targets_belong_to_images_in_whichever_order_they_are_trained_on(images):
    work = stages(images, num_clusters=2)
    embedding = work.embed()
    centroids = embedding[[0, 5]]
    work._clustering.centroids.data.copy_(centroids)
    target, labels = work._target()
    distances = torch.cdist(embedding, centroids)
    assert torch.equal(labels, distances.argmin(1))
    kernel = 1 / (1 + distances**2)
    q = kernel / kernel.sum(1, keepdim=True)
    p = q**2 / q.sum(0)
    torch.testing.assert_close(target, p / p.sum(1, keepdim=True))


@pytest.mark.parametrize("warm_up", [0, 80])
def test_the_clusters_of_the_start_are_learned_before_they_are_sharpened(images, warm_up):
    # The centroids lie in each other's clusters: whoever goes by them swaps the two.
    start = torch.tensor([0, 1] * 5)
    images = 0.2 * images
    images[1::2, :, :, 4:] += 0.8
    limits = {"max_iterations": 80, "update_interval": 80, "learning_rate": 0.01}
    work = stages(images, **limits)
    embedding = work.embed()
    swapped = torch.stack([embedding[1::2].mean(dim=0), embedding[::2].mean(dim=0)])
    _, labels = work.refine(start, swapped, warm_up=warm_up)
    assert torch.equal(labels, start if warm_up else 1 - start)


def test_without_reconstruction_the_decoder_stays_as_it_was(images):
    work = stages(images, max_iterations=3)
    before = [value.clone() for value in work._network.decoder.parameters()]
    history, _ = work.refine(torch.tensor([0, 1] * 5), work.embed()[[0, 1]], reconstruction=0.0)
    assert math.isnan(history[-1].reconstruction)
    after = work._network.decoder.parameters()
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_an_empty_cluster_is_never_silent():
    check_no_cluster_is_empty(torch.tensor([0, 1, 2]), 3)
    with pytest.raises(TrainingError, match="2 of 4 have none of the 3"):
        check_no_cluster_is_empty(torch.tensor([0, 1, 1]), 4)


def test_a_loss_that_is_not_finite_stops_the_training(images):
    with pytest.raises(TrainingError, match="Lower the learning rate"):
        stages(images, learning_rate=1e20).pretrain()
    work = stages(images, learning_rate=1e20, max_iterations=4)
    with pytest.raises(TrainingError, match="Lower the learning rate"):
        work.refine(torch.zeros(10, dtype=torch.int64), work.embed()[[0, 5]])
