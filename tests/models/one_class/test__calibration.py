import pytest
import torch

from models.errors import TrainingError
from models.one_class._calibration import settling


def test_it_is_the_distance_that_the_share_does_not_exceed():
    distances = torch.randperm(100, generator=torch.Generator().manual_seed(0)).float() + 1
    found = settling([distances.reshape(5, 4, 5)], 0.9, 0)
    assert 90 < found < 91


def test_batches_do_not_matter():
    distances = torch.rand(12, 3, 4, generator=torch.Generator().manual_seed(0))
    assert settling([distances], 0.5, 0) == settling(distances.split(5), 0.5, 0)


def test_no_images_are_a_clear_error():
    with pytest.raises(TrainingError, match="calibration images, got none"):
        settling([], 0.9, 0)
