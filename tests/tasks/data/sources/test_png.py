import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from tasks.data.sources import png


def opened(data):
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (160, 240), (5, 13), (300, 700)])
def test_pillow_reads_back_every_gray_value(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    read = opened(png.encode(image))
    assert read.mode == "L"
    assert np.array_equal(np.asarray(read), image)


@pytest.mark.parametrize("shape", [(1, 1), (160, 240), (7, 13)])
def test_pillow_reads_back_every_bit_of_a_mask(shape):
    mask = np.random.default_rng(1).integers(0, 2, shape).astype(bool)
    read = opened(png.encode(mask))
    assert read.mode == "1"
    assert np.array_equal(np.asarray(read), mask)


@pytest.mark.parametrize("shape", [(1, 1, 3), (32, 32, 3), (7, 13, 3)])
def test_pillow_reads_back_every_colour(shape):
    image = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    read = opened(png.encode(image))
    assert read.mode == "RGB"
    assert np.array_equal(np.asarray(read), image)


def test_the_bytes_do_not_depend_on_the_memory_layout():
    image = np.arange(48, dtype=np.uint8).reshape(6, 8)
    assert png.encode(np.asfortranarray(image)) == png.encode(image)
    assert png.encode(np.repeat(image, 2, axis=1)[:, ::2]) == png.encode(image)


def test_the_bytes_are_the_ones_that_data_dvc_was_made_from():
    data = png.encode(np.arange(48, dtype=np.uint8).reshape(6, 8))
    assert (
        hashlib.sha256(data).hexdigest()
        == "beafe002c23283de53c63a5ab463b5dd38b159717ebef6bdc0e1a83486355789"
    )


@pytest.mark.parametrize(
    "image", [np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_refuses_what_is_no_picture(image):
    with pytest.raises(ValueError, match="must be a non-empty"):
        png.encode(image)
