import pytest
import torch

from models.contracts import Scores
from models.density._calibration import calibrate, check_size, held_out
from models.errors import InvalidInputError, TrainingError


def brightness(images):
    planes = images.mean(dim=1)
    return Scores(planes.mean(dim=(1, 2)), planes)


def test_the_allowed_share_reaches_the_thresholds():
    images = (torch.arange(20) / 20)[:, None, None, None].repeat(1, 1, 2, 2)
    images[:, :, 0, 0] += 1
    found = calibrate(brightness, list(images.split(7)), 0.1)
    assert len(found.scores) == 20
    assert int((found.scores >= found.threshold).sum()) == 2
    assert 1.85 < found.pixel_threshold < 1.8500003


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(TrainingError, match="must be finite"):
        calibrate(brightness, [torch.full((2, 1, 2, 2), torch.nan)], 0.1)


def test_no_images_are_refused():
    with pytest.raises(TrainingError, match="calibration images"):
        held_out([torch.zeros(0, 1, 2, 2)])


def test_another_size_is_refused():
    check_size(torch.zeros(2, 1, 4, 5), (1, 4, 5))
    with pytest.raises(InvalidInputError, match=r"\(1, 4, 5\), got \(1, 5, 4\)"):
        check_size(torch.zeros(2, 1, 5, 4), (1, 4, 5))
