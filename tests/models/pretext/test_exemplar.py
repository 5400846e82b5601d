import dataclasses
from copy import deepcopy

import pytest
import torch
from lightning_fabric import Fabric

from models.errors import InvalidInputError, TrainingError
from models.functional.composition import Changes
from models.pretext.exemplar import NUM_PROTOTYPE, Exemplar, _accuracy, _nearest


def patterns(num, channels=1, side=24, seed=0):
    """Smooth random patterns, a different one in each image."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(num, channels, side // 4, side // 4, generator=draw)
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)


@pytest.fixture
def config():
    return Exemplar.Config(epochs=3, views_per_class=24, patch=16, learning_rate=5e-3)


def test_learns_to_recognise_unseen_patches(encoder, config):
    task = dataclasses.replace(config, epochs=15).build(encoder).fit(patterns(48).split(16))
    figures = task.evaluate([patterns(40, seed=1)])
    assert figures["accuracy"] > 10 * figures["chance"]
    assert figures["accuracy"] > figures["pixel_accuracy"]
    assert figures["chance"] == pytest.approx(1 / 40)
    assert task.history_[-1] < 0.6 * task.history_[0]


def test_a_single_photograph_is_enough(encoder, config):
    task = config.build(encoder).fit([patterns(1, channels=3, side=96)])
    classes = task.head.classes.out_features
    assert classes == 10 * 10  # squares of 24 pixels, 8 apart
    assert task.evaluate([patterns(1, channels=3, side=64)])["chance"] == pytest.approx(1 / 36)


def test_every_class_is_shown_as_often_as_any_other(encoder, config):
    task = config.build(encoder)
    draw = torch.Generator().manual_seed(0)
    steps = list(task._steps(num_classes=50, per_epoch=10, draw=draw))
    assert [epoch for epoch, _ in steps] == [0] * 10 + [1] * 10 + [2] * 10
    shown = torch.cat([classes for epoch, classes in steps if epoch == 1]).bincount()
    assert len(shown) == 50
    assert shown.max() - shown.min() <= 1
    assert shown.min() >= config.views_per_class


def test_views_are_new_in_every_step_and_the_same_in_every_evaluation(encoder, config):
    task = config.build(encoder)
    seeds, draw = patterns(4), torch.Generator().manual_seed(0)
    assert not torch.equal(task._views(seeds, draw), task._views(seeds, draw))
    assert torch.equal(torch.stack(task._rounds(seeds, 2)), torch.stack(task._rounds(seeds, 2)))


def test_prototypes_are_means_and_the_nearest_is_told():
    axes = torch.eye(3)
    tested = axes[[0, 2, 2]] + 0.1
    nearest = _nearest([axes] * NUM_PROTOTYPE + [tested])
    assert nearest.tolist() == [[0, 2, 2]]
    assert _accuracy(nearest) == pytest.approx(2 / 3)


def test_a_second_fit_has_classes_of_its_own(encoder, config):
    task = config.build(encoder).fit([patterns(5)])
    assert task.head.classes.out_features == 5
    task.fit([patterns(7)])
    assert task.head.classes.out_features == 7
    assert len(task.history_) == 3


def test_examples_show_patches_and_their_views(encoder, config):
    task = config.build(encoder).fit([patterns(6)])
    pictures = task.examples(torch.cat([patterns(3, seed=1), torch.full((1, 1, 24, 24), 0.5)]))
    assert list(pictures) == ["seed patch", "view 1", "view 2", "view 3", "view 3 is taken for"]
    assert all(picture.shape == (4, 3, 16, 16) for picture in pictures.values())
    seeds = pictures["seed patch"]
    for taken in pictures["view 3 is taken for"]:
        assert (taken == seeds).all(dim=(1, 2, 3)).any()


def test_one_patch_alone_is_refused(encoder):
    with pytest.raises(TrainingError, match="got one"):
        Exemplar.Config(epochs=1).build(encoder).fit([patterns(1)])


def test_images_of_two_sizes_are_refused(encoder):
    with pytest.raises(TrainingError, match="one size"):
        Exemplar.Config(epochs=1).build(encoder).fit([patterns(4), patterns(4, side=28)])


def test_trains_in_mixed_precision_without_a_change(encoder):
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    half, full = (
        Exemplar.Config(epochs=2).build(deepcopy(encoder)).fit([patterns(12)], fabric=given)
        for given in (fabric, None)
    )
    assert all(parameter.dtype == torch.float32 for parameter in half.parameters())
    assert half.history_ == pytest.approx(full.history_, rel=0.1)
    assert half.history_ != full.history_


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"learning_rate": 0.0}, {"num_classes": 1}, {"batch_size": 1}]
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        Exemplar.Config(**wrong)
    assert Exemplar.Config(changes=Changes(hue=0.0)).changes.hue == 0
