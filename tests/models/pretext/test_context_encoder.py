import pytest
import torch
from lightning_fabric import Fabric

from models.errors import InvalidInputError
from models.pretext import context_encoder
from models.pretext.context_encoder import ContextEncoder
from tests.models.pretext.conftest import waves


def test_learns_to_fill_the_hole(encoder):
    config = ContextEncoder.Config(
        epochs=40, learning_rate=5e-3, crops_per_image=1, shape="centre", width=32
    )
    task = config.build(encoder).fit(waves(32, 1).split(16))
    figures = task.evaluate([waves(16, 1, seed=1)])
    assert figures["hole_mse"] < 0.5 * figures["mean_image_mse"]
    assert task.history_[-1] < 0.5 * task.history_[0]


def test_the_mean_image_is_the_trivial_answer(encoder):
    images = waves(10, 1)
    task = ContextEncoder.Config(epochs=1).build(encoder).fit(images.split(3))
    torch.testing.assert_close(task.mean_image_[0], images.mean(dim=0)[0])
    hole = task._centre(images)
    expected = (images - images.mean(dim=0))[:, 0][hole].square().mean().item()
    assert task.evaluate([images])["mean_image_mse"] == pytest.approx(expected, rel=1e-4)


def adversarial(**changes):
    return ContextEncoder.Config(
        **{"epochs": 2, "adversarial_weight": 0.001, "overlap": 2, "width": 16, **changes}
    )


def test_the_twin_shares_the_features_and_leaves_them_alone(encoder):
    # The encoder must be the one that an adversary without a twin would make.
    task = adversarial().build(encoder)
    own, twin = task(torch.rand(2, 1, 24, 24))
    assert not torch.equal(own, twin)
    twin.square().sum().backward()
    assert not any(parameter.grad.any() for parameter in encoder.parameters())
    assert all(parameter.grad.any() for parameter in task.decoders[1].parameters())


def test_a_weak_adversary_costs_little_accuracy(encoder):
    config = adversarial(epochs=30, learning_rate=5e-3, crops_per_image=1, shape="centre")
    task = config.build(encoder).fit(waves(32, 1).split(16))
    figures = task.evaluate([waves(16, 1, seed=1)])
    assert list(figures) == ["hole_mse", "l2_hole_mse", "mean_image_mse"]
    assert figures["hole_mse"] < 0.6 * figures["mean_image_mse"]
    assert figures["l2_hole_mse"] < 0.6 * figures["mean_image_mse"]


def test_adversarial_training_repeats_and_leaves_the_global_seed_alone(encoder):
    initial = {name: value.clone() for name, value in encoder.state_dict().items()}
    before, trained = torch.get_rng_state(), []
    for _ in range(2):
        encoder.load_state_dict(initial)
        adversarial().build(encoder).fit(waves(8, 6).split(4))
        trained.append({name: value.clone() for name, value in encoder.state_dict().items()})
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in initial)
    assert torch.equal(before, torch.get_rng_state())


def test_the_figure_of_the_paper_shows_both_paintings(encoder):
    images = waves(4, 6)
    pictures = adversarial().build(encoder).fit([images]).examples(images)
    assert list(pictures) == ["context", "L2", "L2 + adversarial", "original"]
    assert not torch.equal(pictures["L2"], pictures["L2 + adversarial"])


@pytest.mark.parametrize("shape", ["centre", "block", "blocks", "region"])
def test_holes_of_every_shape_can_be_filled(encoder, shape):
    config = ContextEncoder.Config(epochs=15, learning_rate=5e-3, shape=shape, width=16, overlap=2)
    task = config.build(encoder).fit(waves(32, 1).split(16))
    assert task.history_[-1] < 0.6 * task.history_[0]


def test_one_image_is_enough(encoder):
    task = adversarial(crops_per_image=1).build(encoder).fit([waves(1, 1)])
    assert torch.tensor(task.history_).isfinite().all()


def test_examples_show_context_solution_and_original(encoder):
    images = waves(4, 6)
    task = ContextEncoder.Config(epochs=1).build(encoder).fit([images])
    pictures = task.examples(images)
    assert list(pictures) == ["context", "inpainted", "original"]
    hole = task._centre(images)[:, None].expand(-1, 3, -1, -1)
    torch.testing.assert_close(pictures["inpainted"][~hole], pictures["original"][~hole])
    assert (pictures["context"][hole] == context_encoder.FILL).all()


def test_half_precision_needs_no_change(encoder):
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    task = adversarial().build(encoder).fit([waves(4, 6)], fabric=fabric)
    assert torch.tensor(task.history_).isfinite().all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"hole": 0.9},
        {"shape": "star"},
        {"overlap": -1},
        {"adversarial_weight": 1.0},
        {"motion_share": 1.5},
        {"learning_rate": 0.0},
    ],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        ContextEncoder.Config(**wrong)
