import pytest
import torch
from torch import nn

from models.contracts import Scores, silent
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, NotFittedError, TrainingError
from models.fitting import (
    begin,
    calibration_scores,
    check_rate,
    check_size,
    frozen,
    image_threshold,
    learned,
    require_pixels,
    statistics_of,
    value_of,
)
from tests.models.tiny import Tiny

CPU = torch.device("cpu")


def brightness(images):
    planes = images.mean(dim=1)
    return Scores(planes.mean(dim=(1, 2)), planes)


def detector():
    module = nn.Linear(1, 1)
    learned(module, threshold_=(), centre_=(3,))
    return module


def test_learned_buffers_are_nan_until_they_are_set():
    module = detector()
    assert module.centre_.isnan().all()
    assert module.centre_.dtype == torch.float64
    with pytest.raises(NotFittedError, match=r"Linear is not fitted. Call fit"):
        value_of(module.threshold_, module)
    module.threshold_.fill_(2.5)
    assert value_of(module.threshold_, module) == 2.5
    assert statistics_of(module).keys() == {"threshold", "centre"}


def test_a_fit_begins_by_forgetting_in_evaluation_mode():
    module = detector().train()
    module.threshold_.fill_(2.5)
    fabric = begin(module, module.threshold_, None)
    assert fabric.device == CPU
    assert module.threshold_.isnan()
    assert not module.training


def test_a_frozen_encoder_has_neither_gradients_nor_a_training_mode():
    encoder = frozen(Tiny().train())
    assert not any(weight.requires_grad for weight in encoder.parameters())
    assert not encoder.training


def test_the_allowed_share_reaches_the_threshold():
    images = (torch.arange(20) / 20)[:, None, None, None].repeat(1, 1, 2, 2)
    images[:, :, 0, 0] += 1
    scores, highest = calibration_scores(brightness, list(images.split(7)), silent, CPU)
    assert len(scores) == 20
    torch.testing.assert_close(highest, images[:, 0, 0, 0])
    threshold = image_threshold(brightness, [images], 0.1, silent, CPU)
    assert int((scores >= threshold).sum()) == 2


def test_without_maps_the_image_scores_stand_for_them():
    found = calibration_scores(
        lambda images: Scores(images[:, 0, 0, 0]), [torch.rand(3, 1, 2, 2)], silent, CPU
    )
    assert torch.equal(*found)


def test_scores_that_are_not_finite_and_no_images_are_refused():
    with pytest.raises(TrainingError, match="must be finite"):
        calibration_scores(brightness, [torch.full((2, 1, 2, 2), torch.nan)], silent, CPU)
    for none in ([], [torch.zeros(0, 1, 2, 2)]):
        with pytest.raises(TrainingError, match="calibration images, got none"):
            calibration_scores(brightness, none, silent, CPU)


def test_what_does_not_fit_is_refused():
    check_size(torch.zeros(2, 1, 4, 5), (1, 4, 5))
    with pytest.raises(InvalidInputError, match=r"\(1, 4, 5\), got \(1, 5, 4\)"):
        check_size(torch.zeros(2, 1, 5, 4), (1, 4, 5))
    check_rate(0.1)
    with pytest.raises(InvalidInputError, match=r"in \(0, 1\), got 1.0"):
        check_rate(1.0)
    require_pixels(Pixels.Config().build(), "Lsa")
    with pytest.raises(InvalidInputError, match=r"Lsa learns .* must be Pixels, got Tiny"):
        require_pixels(Tiny(), "Lsa")
