import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from models.errors import InvalidInputError
from models.pretext import context_encoder
from models.pretext.context_encoder import ContextEncoder
from tests.models.pretext.conftest import waves


class Painter(nn.Module):
    """Paints the same whatever it sees."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, _):
        return self.answer


def test_learns_to_fill_the_hole(encoder):
    config = ContextEncoder.Config(
        epochs=40, learning_rate=5e-3, crops_per_image=1, random_place=False, width=32
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


def test_what_is_in_the_hole_stays_hidden(encoder):
    # Only then the loss cannot be solved by copying.
    images = torch.rand(4, 6, 24, 24)
    task = ContextEncoder.Config().build(encoder)
    hole = task._centre(images)
    other = torch.where(hole[:, None], torch.rand(4, 6, 24, 24), images)
    none, all_ = torch.zeros(4, dtype=torch.bool), torch.ones(4, dtype=torch.bool)
    hide = context_encoder._hide
    assert torch.equal(hide(images, hole, none), hide(other, hole, none))
    newest = torch.cat([images[:, :4], other[:, 4:]], dim=1)
    assert torch.equal(hide(images, hole, all_), hide(newest, hole, all_))
    assert torch.equal(hide(images, hole, all_)[:, :4], images[:, :4])


def test_the_loss_ignores_what_is_outside_the_hole(encoder):
    images = waves(2, 1)
    task = ContextEncoder.Config(random_place=False).build(encoder)
    painted = torch.rand(2, 3, 24, 24)
    hole = task._centre(images)
    other = torch.where(hole[:, None], painted, torch.rand(2, 3, 24, 24))
    fabric = Fabric(accelerator="cpu", devices=1)
    losses = [
        task._loss(Painter(answer), images, torch.Generator(), fabric)
        for answer in (painted, other)
    ]
    assert losses[0] == losses[1] > 0


def test_examples_show_context_solution_and_original(encoder):
    images = waves(4, 6)
    task = ContextEncoder.Config(epochs=1).build(encoder).fit([images])
    pictures = task.examples(images)
    assert list(pictures) == ["context", "inpainted", "original"]
    hole = task._centre(images)[:, None].expand(-1, 3, -1, -1)
    torch.testing.assert_close(pictures["inpainted"][~hole], pictures["original"][~hole])
    assert (pictures["context"][hole] == context_encoder.FILL).all()


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"hole": 0.9}, {"motion_share": 1.5}, {"learning_rate": 0.0}],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        ContextEncoder.Config(**wrong)
