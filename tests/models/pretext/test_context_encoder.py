import math

import pytest
import torch
from lightning_fabric import Fabric

from models.errors import InvalidInputError
from models.functional.holes import centre_holes
from models.functional.mean_frames import mean_frames
from models.functional.receptive_field import ReceptiveField
from models.pretext.context_encoder import (
    Adversary,
    ContextEncoder,
    Critic,
    Decoder,
    filled,
    hide,
    squared_error,
)
from models.training import cpu
from tests.models.pretext.conftest import waves


def test_learns_to_fill_the_hole(encoder):
    config = ContextEncoder.Config(
        epochs=40, learning_rate=5e-3, crops_per_image=1, shape="centre", width=32
    )
    task = config.build(encoder).fit(waves(32, 1).split(16))
    figures = task.evaluate([waves(16, 1, seed=1)])
    assert figures["hole_mse"] < 0.5 * figures["mean_image_mse"]
    assert task.history_[-1] < 0.5 * task.history_[0]


def test_holes_are_filled_with_the_mean_of_the_data(encoder):
    images = 0.3 * waves(8, 1) + 0.6
    task = ContextEncoder.Config(epochs=1, width=16).build(encoder)
    assert math.isnan(task.fill_)
    task.fit([images])
    assert task.fill_ == pytest.approx(float(images.mean()))
    assert task.fill_ > 0.7


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
    own, twin = task(torch.rand(2, 1, 24, 24), torch.zeros(2, 3, 24, 24))
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
    assert (pictures["context"][hole] == task.fill_).all()


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


HOLE = centre_holes(4, 24, 24, 0.4)
NONE, ALL = torch.zeros(4, dtype=torch.bool), torch.ones(4, dtype=torch.bool)
FILL = 0.45


def test_what_is_in_the_hole_stays_hidden():
    # Only then the loss cannot be solved by copying.
    images = torch.rand(4, 6, 24, 24)
    other = torch.where(HOLE[:, None], torch.rand(4, 6, 24, 24), images)
    assert torch.equal(filled(images, HOLE, NONE, FILL), filled(other, HOLE, NONE, FILL))
    newest = torch.cat([images[:, :4], other[:, 4:]], dim=1)
    assert torch.equal(filled(images, HOLE, ALL, FILL), filled(newest, HOLE, ALL, FILL))
    assert torch.equal(filled(images, HOLE, ALL, FILL)[:, :4], images[:, :4])


def test_the_error_ignores_what_is_outside_the_hole():
    hidden = hide(torch.rand(4, 1, 24, 24), HOLE, NONE, FILL)
    painted = torch.rand(4, 3, 24, 24)
    other = torch.where(HOLE[:, None], painted, torch.rand(4, 3, 24, 24))
    errors = [squared_error(answer, hidden, 10.0) for answer in (painted, other)]
    assert errors[0] == errors[1] > 0


def test_the_error_is_the_mean_square_of_still_images():
    images, painted = torch.rand(4, 3, 24, 24), torch.rand(4, 3, 24, 24)
    error = squared_error(painted, hide(images, HOLE, NONE, FILL), 10.0)
    expected = (painted - images).square().transpose(0, 1)[:, HOLE].mean()
    torch.testing.assert_close(error, expected)


def test_a_band_around_the_hole_is_seen_and_weighs_more():
    images = torch.rand(4, 1, 24, 24)
    hidden = hide(images, HOLE, NONE, FILL, overlap=3, overlap_gain=10.0)
    rows = hidden.weight[0, 0].amax(dim=1)
    assert rows.tolist() == [0] * 4 + [10] * 3 + [10] * 9 + [10] * 3 + [0] * 5
    assert hidden.weight[0, 0, 12].tolist() == [0] * 4 + [10] * 3 + [1] * 9 + [10] * 3 + [0] * 5
    band = (hidden.weight == 10).expand(-1, 3, -1, -1)
    assert torch.equal(mean_frames(hidden.context)[band], hidden.target[band])
    assert (mean_frames(hidden.context)[HOLE[:, None].expand(-1, 3, -1, -1)] == FILL).all()
    inside, around = (hidden.target + 0.1 * (hidden.weight == weight) for weight in (1, 10))
    ratio = squared_error(around, hidden, 1.0) / squared_error(inside, hidden, 1.0)
    assert ratio.item() == pytest.approx(10 * (15**2 - 9**2) / 9**2, rel=1e-4)


def test_frames_that_were_not_hidden_cost_nothing():
    clips = torch.rand(4, 6, 24, 24)
    hidden = hide(clips, HOLE, ALL, FILL)
    wrong = hidden.target.clone()
    wrong[:, :2] = 0
    assert squared_error(wrong, hidden, 10.0) == 0
    wrong[:, 2] = 0
    assert squared_error(wrong, hidden, 10.0) > 0


def test_a_region_shows_the_painting_and_none_of_its_context():
    clips, painted = torch.rand(4, 6, 24, 24), torch.rand(4, 3, 24, 24)
    mixed = torch.tensor([True, False, False, False])
    hidden = hide(clips, HOLE, mixed, FILL, overlap=2, overlap_gain=10.0)
    region = hidden.region(painted)
    outside = (hidden.weight == 0).expand(-1, 3, -1, -1)
    assert (region[outside] == FILL).all()
    inside = ~outside
    assert torch.equal(region[1:][inside[1:]], painted[1:][inside[1:]])
    assert torch.equal(region[0, :2][inside[0, :2]], hidden.target[0, :2][inside[0, :2]])
    assert torch.equal(region[0, 2][inside[0, 2]], painted[0, 2][inside[0, 2]])


@pytest.mark.parametrize(
    ("field", "cells"), [(ReceptiveField(51, 8, 18), (11, 10)), (ReceptiveField(5, 2, 2), (48, 44))]
)
def test_paints_images_of_any_size(field, cells):
    painted = Decoder(6, 8, field)(torch.rand(2, 6, *cells), 96, 88)
    assert painted.shape == (2, 3, 96, 88)


def test_a_cell_paints_around_the_centre_of_its_field():
    torch.manual_seed(0)
    field = ReceptiveField(51, 8, 18)
    decoder, features = Decoder(6, 8, field).eval(), torch.zeros(1, 6, 20, 20)
    changed = features.clone()
    changed[0, :, 9, 12] = 5
    with torch.no_grad():
        seen = (decoder(features, 170, 170) != decoder(changed, 170, 170)).any(dim=1)[0]
    rows, columns = seen.any(dim=1).nonzero()[:, 0], seen.any(dim=0).nonzero()[:, 0]
    top, left, bottom, right = field.box(9, 12, 170, 170)
    assert (rows[0] + rows[-1]).item() == pytest.approx(top + bottom - 1, abs=1)
    assert (columns[0] + columns[-1]).item() == pytest.approx(left + right - 1, abs=1)


LARGE = centre_holes(8, 32, 32, 0.5)
NO_IMAGE = torch.zeros(8, dtype=torch.bool)


def adversary():
    return Adversary(8, 1e-3, cpu(), seed=0)


def test_a_patch_has_eight_pixels():
    assert Critic(4)(torch.rand(2, 3, 32, 40)).shape == (2, 1, 4, 5)


def test_learns_to_tell_blurred_paintings_from_true_ones():
    draw = torch.Generator().manual_seed(0)
    hidden = hide(torch.rand(8, 1, 32, 32, generator=draw), LARGE, NO_IMAGE, FILL)
    blurred, critic = torch.full((8, 3, 32, 32), 0.5), adversary()
    for _ in range(60):
        critic.step(hidden, blurred)
    assert critic.loss(hidden, hidden.target) < 0.3
    assert critic.loss(hidden, blurred) > 1


def test_the_adversarial_loss_reaches_the_painting_only_where_it_is_asked_for():
    hidden = hide(torch.rand(8, 1, 32, 32), LARGE, NO_IMAGE, FILL)
    painted = torch.rand(8, 3, 32, 32, requires_grad=True)
    adversary().loss(hidden, painted).backward()
    moved = painted.grad.abs().amax(dim=1) > 0
    assert moved[LARGE].any()
    assert not moved[~LARGE].any()


def test_learning_leaves_the_painting_and_the_global_seed_alone():
    state = torch.get_rng_state()
    critic = adversary()
    assert torch.equal(state, torch.get_rng_state())
    hidden = hide(torch.rand(8, 1, 32, 32), LARGE, NO_IMAGE, FILL)
    painted = torch.rand(8, 3, 32, 32, requires_grad=True)
    critic.step(hidden, painted)
    assert painted.grad is None
