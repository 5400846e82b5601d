import math

import pytest
import torch

from models.errors import InvalidInputError
from models.pretext._histogram import PixelHistogram


def test_surprise_is_that_of_counts_plus_one():
    histogram = PixelHistogram(2)
    levels = torch.zeros(3, 3, 1, 1, dtype=torch.long)
    levels[0] = 1
    histogram.update(levels[:1])
    histogram.update(levels[1:])
    assert histogram.nats(levels)[0, 0, 0, 0].item() == pytest.approx(-math.log(2 / 5))
    assert histogram.nats(levels)[1, 0, 0, 0].item() == pytest.approx(-math.log(3 / 5))


def test_images_of_another_size_are_refused():
    histogram = PixelHistogram(2)
    histogram.update(torch.zeros(1, 3, 4, 4, dtype=torch.long))
    with pytest.raises(InvalidInputError, match="size of the training images"):
        histogram.nats(torch.zeros(1, 3, 4, 5, dtype=torch.long))
