import pytest
import torch

from models.errors import TrainingError
from models.pretext._history import Losses, MeanImage


def test_losses_are_averaged_by_epoch():
    losses = Losses(2)
    for epoch, value in ((0, 1.0), (0, 3.0), (1, 4.0)):
        losses.add(epoch, torch.tensor(value))
    assert losses.means() == [2.0, 4.0]
    assert losses.counts() == [2, 1]


def test_a_loss_that_is_not_finite_is_refused():
    with pytest.raises(TrainingError, match="got nan in epoch 2"):
        Losses(3).add(1, torch.tensor(torch.nan))


def test_the_mean_image_does_not_depend_on_the_batches():
    images = torch.rand(7, 6, 4, 5)
    whole, parts = MeanImage(), MeanImage()
    whole.update(images)
    for part in images.split(3):
        parts.update(part)
    torch.testing.assert_close(whole.value(), parts.value())
    torch.testing.assert_close(whole.value()[2], images[:, 4:].mean(dim=(0, 1)))


def test_images_of_two_sizes_are_refused():
    mean = MeanImage()
    mean.update(torch.rand(2, 1, 4, 4))
    with pytest.raises(TrainingError, match="one size"):
        mean.update(torch.rand(2, 1, 4, 5))


def test_constant_images_are_refused():
    mean = MeanImage()
    mean.update(torch.rand(3, 1, 1, 1).expand(3, 1, 4, 4))
    with pytest.raises(TrainingError, match="all constant"):
        mean.value()
