import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from models.contracts import silent
from models.density._training import require_pixels, start_again, train
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.functional.shuffled import Shuffled
from tests.models.tiny import Tiny


def fitted(loss_of, epochs=60, num=8, smallest=1, progress=silent):
    model = nn.Linear(1, 1)
    start_again(model, 0)
    images = Shuffled([torch.full((num, 1, 1, 1), 0.5)], seed=0)
    history = train(
        model,
        loss_of,
        images,
        settings=(epochs, 4, 0.05),
        fabric=Fabric(accelerator="cpu", devices=1),
        progress=progress,
        description="Line",
        smallest=smallest,
    )
    return model, history


def test_training_finds_the_minimum_and_ends_in_evaluation_mode():
    model, history = fitted(lambda net, batch: ((net(batch[:, :, 0, 0]) - 2) ** 2).mean())
    assert not model.training
    assert len(history) == 60
    assert history[-1] < 1e-2 < history[0]


def test_convolutions_are_trained_channels_last_and_left_as_they_were():
    model = nn.Conv2d(2, 3, 3)
    orders = []

    def loss_of(net, batch):
        orders.append(model.weight.is_contiguous(memory_format=torch.channels_last))
        return (net(batch) ** 2).mean()

    before = model.weight.detach().clone()
    train(
        model,
        loss_of,
        Shuffled([torch.rand(4, 2, 5, 5)], seed=0),
        settings=(1, 4, 0.05),
        fabric=Fabric(accelerator="cpu", devices=1),
        progress=silent,
        description="Line",
    )
    assert orders == [True]
    assert model.weight.is_contiguous()
    assert not torch.equal(model.weight, before)


def test_batches_that_are_too_small_are_left_out():
    sizes, totals = [], []

    def loss_of(net, batch):
        sizes.append(len(batch))
        return net(batch[:, :, 0, 0]).mean()

    def progress(steps, *, total, description):
        totals.append(total)
        return steps

    fitted(loss_of, epochs=2, num=9, smallest=2, progress=progress)
    fitted(loss_of, epochs=1, num=9, progress=progress)
    assert sizes == [4, 4, 4, 4, 4, 4, 1]
    assert totals == [4, 3]
    with pytest.raises(TrainingError, match="Line needs at least 2 images, got 1"):
        fitted(loss_of, num=1, smallest=2)


def test_a_loss_that_is_not_finite_is_refused():
    with pytest.raises(TrainingError, match=r"must be finite, got nan in epoch 1\. Lower"):
        fitted(lambda net, batch: net(batch[:, :, 0, 0]).mean() * torch.nan)


def test_starting_again_forgets_and_leaves_global_randomness_alone():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    start_again(model, 7)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model[0].weight.zero_()
        model[1].running_mean.fill_(5)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    start_again(model, 7)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[name], value) for name, value in model.state_dict().items())
    start_again(model, 8)
    assert not torch.equal(first["0.weight"], model[0].weight)


def test_only_pixels_will_do():
    require_pixels(Pixels.Config(channels=3).build(), "PixelCnn")
    with pytest.raises(InvalidInputError, match="PixelCnn must learn from pixels, got the encoder"):
        require_pixels(Tiny(), "PixelCnn")
