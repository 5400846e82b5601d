import pytest
import torch
from lightning_fabric import Fabric

from models.clustering import Schedule
from models.clustering._autoencoder import Autoencoder
from models.clustering._training import Trainer, check_no_cluster_is_empty, one_cycle
from models.contracts import silent
from models.errors import TrainingError
from models.functional.shuffled import Shuffled


def trainer(images, **changes):
    network = Autoencoder(1, 8, 3)
    network.reset(0)
    dealt = Shuffled([images], seed=0)
    schedule = Schedule(**{"epochs": 3, "batch_size": 4, **changes})
    fabric = Fabric(accelerator="cpu", devices=1)
    return Trainer(network, dealt, schedule, fabric=fabric, progress=silent, seed=0)


@pytest.fixture
def images():
    return torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_pretraining_gives_the_mean_loss_of_each_epoch(images):
    losses = trainer(images, epochs=40).pretrain()
    assert len(losses) == 40
    assert losses[-1] < losses[0] / 2


def test_one_cycle_is_that_of_pytorch():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 3e-3, total_steps=1001, cycle_momentum=False
    )
    for step in range(1000):
        assert one_cycle(step / 1000, 3e-3) == pytest.approx(reference.get_last_lr()[0], abs=2e-5)
        optimizer.step()
        reference.step()


def test_a_cycle_of_the_rate_changes_the_training_and_learns(images):
    kept, cycled = trainer(images, epochs=40), trainer(images, epochs=40, peak_rate=3e-3)
    losses = cycled.pretrain()
    assert losses[-1] < losses[0] / 2
    assert losses != kept.pretrain()


def test_targets_belong_to_images_however_they_are_dealt(images):
    work = trainer(images)
    embedding = work.embed()
    centroids = embedding[[0, 5]]
    target, labels = work._targets(centroids)
    distances = torch.cdist(embedding, centroids)
    assert torch.equal(labels, distances.argmin(1))
    kernel = 1 / (1 + distances**2)
    q = kernel / kernel.sum(1, keepdim=True)
    p = q**2 / q.sum(0)
    torch.testing.assert_close(target, p / p.sum(1, keepdim=True))


def test_without_augmentation_images_stay_as_they_are(images):
    assert torch.equal(trainer(images)._varied(images, 0.0, 0.0), images)


def test_shifts_and_rotations_stay_within_their_limits():
    dot = torch.zeros(200, 1, 20, 20)
    dot[:, :, 9:11, 9:11] = 1.0
    varied = trainer(dot)._varied(dot, 0.1, 0.0)
    columns = (varied.sum(dim=(1, 2)) * torch.arange(20)).sum(1) / varied.sum(dim=(1, 2, 3))
    moved = columns - 9.5
    assert moved.abs().max() <= 2.01
    assert moved.min() < -1.5
    assert moved.max() > 1.5
    turned = trainer(dot)._varied(dot, 0.0, 10.0)
    torch.testing.assert_close(turned.sum(dim=(1, 2, 3)), torch.full((200,), 4.0), rtol=0.1, atol=0)


def test_components_tell_as_much_of_distances_as_the_images(images):
    components, views = trainer(images, shift=0.1).components()
    assert views == []
    torch.testing.assert_close(torch.cdist(components, components), distances(images))


def distances(images):
    return torch.cdist(images.flatten(1), images.flatten(1))


def test_views_for_the_start_are_shifted_and_turned_as_far_as_it_says(images):
    work = trainer(images, start_rotation=90.0)
    components, views = work.components()
    assert len(views) == 20
    assert all(view.shape == components.shape for view in views)
    assert not torch.equal(views[0], views[1])
    _, shifted = trainer(images, start_shift=0.2).components()
    assert not torch.allclose(shifted[0], components, atol=0.1)
    for nearly in ({"start_rotation": 1e-4}, {"start_shift": 1e-6}):
        _, views = trainer(images, **nearly).components()
        torch.testing.assert_close(views[0], components, rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("adoption", [0, 80])
def test_the_clusters_of_the_start_are_learned_before_they_are_sharpened(images, adoption):
    # The centroids lie in each other's clusters: whoever goes by them swaps the two.
    start = torch.tensor([0, 1] * 5)
    images = 0.2 * images
    images[1::2, :, :, 4:] += 0.8
    limits = {"max_iterations": 80, "update_interval": 80, "learning_rate": 0.01}
    work = trainer(images, adoption=adoption, **limits)
    embedding = work.embed()
    swapped = torch.stack([embedding[1::2].mean(dim=0), embedding[::2].mean(dim=0)])
    _, labels = work.refine(torch.nn.Parameter(swapped), start)
    assert torch.equal(labels, start if adoption else 1 - start)


def test_an_empty_cluster_is_never_silent():
    check_no_cluster_is_empty(torch.tensor([0, 1, 2]), 3)
    with pytest.raises(TrainingError, match="2 of 4 have none of the 3"):
        check_no_cluster_is_empty(torch.tensor([0, 1, 1]), 4)


def test_a_loss_that_is_not_finite_stops_the_training(images):
    with pytest.raises(TrainingError, match="Lower learning_rate"):
        trainer(images, learning_rate=1e20).pretrain()
    work = trainer(images, learning_rate=1e20, max_iterations=4)
    start = torch.nn.Parameter(work.embed()[[0, 5]].clone())
    with pytest.raises(TrainingError, match=r"Lower learning_rate"):
        work.refine(start, torch.zeros(10, dtype=torch.int64))
