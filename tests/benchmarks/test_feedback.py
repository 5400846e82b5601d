import numpy as np
import pytest
import torch

from benchmarks.feedback import BEGIN, Remembered, simulate
from models.encoders.pixels import Pixels


@pytest.fixture(scope="module")
def encoder():
    """Features of 200 images, the last 50 of which differ."""
    torch.manual_seed(0)
    features = torch.randn(200, 3, 4, 4)
    features[150:] += 4
    trunk = Pixels.Config().build()
    return Remembered(features, trunk)


DEFECT = np.arange(200) >= 150


def test_an_image_is_its_number(encoder):
    images = torch.tensor([7.0, 3.0])[:, None, None, None].expand(-1, 1, 8, 8)
    assert torch.equal(encoder(images), encoder.features[[7, 3]])


@pytest.mark.parametrize("policy", ["useful", "random", "never"])
def test_every_day_is_measured_and_judged_normal_images_are_learned(encoder, policy):
    found = simulate(encoder, DEFECT, 0, policy)
    assert {len(values) for values in found.values()} == {11}
    assert found["learned"][0] == BEGIN
    assert (found["learned"][-1] > BEGIN) == (policy != "never")
    assert found["auroc"][-1] > 0.9
    again = simulate(encoder, DEFECT, 0, policy)
    assert again == found
