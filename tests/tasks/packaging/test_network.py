import numpy as np
import pytest
import torch

from models.contracts import Scores
from models.errors import InvalidInputError
from tasks.packaging.network import Network, reference_of


class Means(torch.nn.Module):
    """Scores images by their mean; refuses dark ones with an error of the sources it came with."""

    def forward(self, images):
        if images.amax() < 0.1:
            raise type("InvalidInputError", (ValueError,), {})("Too dark.")
        return Scores(images.mean(dim=(1, 2, 3)), images[:, 0])


def test_arrays_go_in_and_come_out():
    inputs = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 9), dtype=np.uint8)
    seen = []
    found = Network(Means(), torch.device("cpu"))(inputs, seen.append)
    np.testing.assert_allclose(found.image_score, inputs.mean(axis=(1, 2, 3)) / 255, rtol=1e-6)
    np.testing.assert_allclose(found.anomaly_map, inputs[:, 0] / 255, rtol=1e-6)
    assert found.image_score.dtype == np.float64
    assert not seen  # it judges by no Gaussian
    assert reference_of(Means()) is None


def test_what_a_detector_refuses_is_told_as_an_error_of_ours():
    with pytest.raises(InvalidInputError, match="Too dark"):
        Network(Means(), torch.device("cpu"))(np.zeros((1, 1, 4, 4), dtype=np.uint8))
