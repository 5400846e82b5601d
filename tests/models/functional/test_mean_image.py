import pytest
import torch

from models.errors import TrainingError
from models.functional.mean_image import MeanImage


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
