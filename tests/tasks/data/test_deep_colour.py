import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from tasks.data import deep_colour


def test_all_bits_of_all_channels_are_read_in_the_order_of_red_green_blue():
    values = np.random.default_rng(0).integers(0, 1 << 16, (5, 7, 3)).astype(np.uint16)
    content = cv2.imencode(".png", values[..., ::-1])[1].tobytes()
    assert np.array_equal(deep_colour.read(content, 0), values)
    assert deep_colour.read(content, 1) is None
    assert deep_colour.read(b"no image", 0) is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_pillow_turns_it(orientation):
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(values)
    image.getexif()[274] = orientation
    assert np.array_equal(deep_colour.turned(values, orientation), ImageOps.exif_transpose(image))
