import numpy as np
import pytest
import torch

from models.errors import InvalidInputError
from tasks.packaging.raw import Raw, scaled, together

MAPS = np.random.default_rng(0).normal(size=(3, 5, 7)).astype(np.float32)


def raw(maps=MAPS):
    return Raw(image_score=np.arange(3.0), anomaly_map=maps, soft_assignment=None)


@pytest.mark.parametrize("size", [(5, 7), (20, 21), (3, 4), (5, 40), (64, 7)])
def test_maps_are_scaled_as_torch_scales_them(size):
    planes = torch.from_numpy(MAPS)[:, None]
    expected = torch.nn.functional.interpolate(planes, size=size, mode="bilinear")[:, 0].numpy()
    found = scaled(MAPS, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_maps_come_only_where_they_are_wanted_and_there():
    assert raw().at(None).anomaly_map is None
    assert raw().at((10, 14)).anomaly_map.shape == (3, 10, 14)
    with pytest.raises(InvalidInputError, match="makes no anomaly map"):
        raw(None).at((10, 14))


def test_parts_are_the_whole():
    whole = together([raw()[0:1], raw()[1:3]])
    np.testing.assert_array_equal(whole.image_score, raw().image_score)
    np.testing.assert_array_equal(whole.anomaly_map, MAPS)
    assert together([raw(None)[0:1], raw(None)[1:3]]).anomaly_map is None
