from copy import deepcopy

import pytest
import torch
from lightning_fabric import Fabric

from models.errors import InvalidInputError
from models.functional.families import FAMILIES
from models.pretext.transformation import TransformationClassifier


def discs(num, seed=0):
    """A bright disc in the middle of each image; its size and its place hardly vary."""
    draw = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(32.0) - 15.5, torch.arange(32.0) - 15.5, indexing="ij")
    place = torch.rand(num, 2, 1, 1, generator=draw) - 0.5
    radius = ((x - place[:, 0]) ** 2 + (y - place[:, 1]) ** 2).sqrt()
    return (0.15 + 0.7 * torch.sigmoid(7 - radius))[:, None]


def test_learns_to_tell_the_families_of_unseen_images(encoder):
    config = TransformationClassifier.Config(epochs=12, learning_rate=5e-3, width=64)
    task = config.build(encoder).fit(discs(96).split(16))
    figures = task.evaluate([discs(40, seed=1)])
    assert figures["accuracy"] > 0.7
    assert figures["chance"] == 0.25
    assert task.history_[-1] < 0.7 * task.history_[0]


def test_the_accuracy_is_the_mean_over_the_families(encoder):
    task = TransformationClassifier.Config(epochs=1).build(encoder).fit([discs(8)])
    figures = task.evaluate(discs(9, seed=1).split(4))
    shares = [figures[f"accuracy_{name}"] for name in FAMILIES]
    assert figures["accuracy"] == pytest.approx(sum(shares) / 4)
    assert all((share * 9) % 1 == pytest.approx(0, abs=1e-5) or share == 1 for share in shares)


def test_examples_show_every_family_and_the_answers(encoder):
    task = TransformationClassifier.Config(epochs=1).build(encoder).fit([discs(8)])
    pictures = task.examples(discs(3, seed=1))
    assert list(pictures) == ["original", *FAMILIES, "answers"]
    assert len({picture.shape[-2:] for picture in pictures.values()}) == 1
    answers = pictures["answers"][:, 0, :: pictures["answers"].shape[-1] // 4, :]
    assert (pictures["original"] - pictures["contrast"]).abs().max() > 0.05
    assert answers.min() >= 0


def test_large_images_are_seen_through_squares_of_the_given_size(encoder):
    seen = []
    encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    config = TransformationClassifier.Config(epochs=1, crop=40)
    config.build(encoder).fit([torch.rand(3, 6, 60, 90)])
    assert seen == [(12, 6, 26, 26)]


def test_images_too_small_for_a_view_are_refused(encoder):
    with pytest.raises(InvalidInputError, match="at least 15 x 15"):
        TransformationClassifier.Config(epochs=1).build(encoder).fit([torch.rand(4, 1, 12, 30)])


def test_trains_in_mixed_precision_without_a_change(encoder):
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    half, full = (
        TransformationClassifier.Config(epochs=2)
        .build(deepcopy(encoder))
        .fit([discs(12)], fabric=given)
        for given in (fabric, None)
    )
    assert all(parameter.dtype == torch.float32 for parameter in half.parameters())
    assert half.history_ == pytest.approx(full.history_, rel=0.1)
    assert half.history_ != full.history_


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"learning_rate": 0.0}, {"crop": 0}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        TransformationClassifier.Config(**wrong)
