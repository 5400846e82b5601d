import numpy as np
import pytest

from tasks.data import value_range
from tests.tasks.pictures import picture, save


@pytest.mark.parametrize(
    ("lowest", "highest", "whole", "levels"),
    [
        (0, 1000, True, (0, 1023)),
        (3, 3900, True, (0, 4095)),
        (0, 4096, True, (0, 16383)),
        (0, 65535, True, (0, 65535)),
        (0, 200, True, (0, 255)),
        (29000, 31000, True, (29000, 31000)),
        (-20, 300, True, (-20, 300)),
        (0, 0.9, False, (0, 1)),
        (0, 240.5, False, (0, 255)),
        (-1, 1, False, (-1, 1)),
        (0, 900, False, (0, 900)),
        (7, 7, True, (7, 8)),
    ],
)
def test_the_range_is_that_of_the_fewest_bits_that_are_filled(lowest, highest, whole, levels):
    assert value_range.levels_of(lowest, highest, whole=whole) == levels


def test_the_range_is_that_of_all_images_but_for_hot_pixels(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (200, 200), dtype=np.uint16)
    values[3, 3] = 65535
    dark = save(tmp_path / "a.png", values // 64)
    deep = save(tmp_path / "b.tif", values)
    assert value_range.find((dark, deep)) == (0, 4095)
    assert value_range.find((dark,)) == (0, 63)  # else it would keep 64 gray levels


def test_images_of_8_bits_and_what_cannot_be_read_have_no_range(tmp_path):
    (tmp_path / "b.png").write_bytes(b"no image")
    assert value_range.find((save(tmp_path / "a.png", picture(0)), tmp_path / "b.png")) is None
