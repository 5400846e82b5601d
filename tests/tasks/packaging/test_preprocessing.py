import numpy as np
import pytest
import torch
from PIL import Image

from models.errors import InvalidInputError
from tasks.packaging.preprocessing import (
    Preprocessing,
    gray,
    quantized,
    resize,
    windows,
    without_torch,
)
from tasks.packaging.tensors import as_tensor


def frames(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_gray_is_what_pillow_makes_of_the_same_colours():
    colour = frames(2, 3, 40, 50)
    for made, image in zip(gray(colour), colour, strict=True):
        expected = Image.fromarray(image.transpose(1, 2, 0)).convert("L")
        assert np.array_equal(made, np.asarray(expected))


def test_a_window_ends_with_the_frame_that_it_describes():
    clip = frames(9, 4, 5)
    made = windows(clip, 6)
    assert made.shape == (4, 6, 4, 5)
    for start, window in enumerate(made):
        assert np.array_equal(window, clip[start : start + 6])


@pytest.mark.parametrize("shape", [(3, 40, 60), (3, 3, 40, 60)])
def test_resizing_a_flat_frame_leaves_it_flat(shape):
    made = resize(np.full(shape, 77, dtype=np.uint8), (16, 24))
    assert made.shape == (*shape[:-2], 16, 24)
    assert (made == 77).all()


def test_resizing_averages_over_all_pixels_it_merges():
    checks = np.indices((64, 64)).sum(axis=0) % 2 * 255
    made = resize(checks[None].astype(np.uint8), (16, 16))
    assert np.abs(made[0, 2:-2, 2:-2].astype(float) - 127.5).max() < 2


@pytest.mark.parametrize(
    ("options", "given", "expected"),
    [
        ({"window": 6}, (9, 20, 30), (4, 6, 20, 30)),
        ({"window": 6}, (9, 3, 20, 30), (4, 6, 20, 30)),
        ({}, (2, 20, 30), (2, 1, 20, 30)),
        ({}, (2, 3, 20, 30), (2, 1, 20, 30)),
        ({"channels": 3}, (2, 3, 20, 30), (2, 3, 20, 30)),
        ({"channels": 3}, (2, 20, 30), (2, 3, 20, 30)),
        ({"window": 6, "image_size": (8, 10)}, (6, 3, 20, 30), (1, 6, 8, 10)),
    ],
)
def test_frames_become_inputs_of_the_shape_that_the_model_takes(options, given, expected):
    assert Preprocessing(**options)(frames(*given)).shape == expected


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((6, 20, 30), dtype=np.float32),
        np.zeros((20, 30), dtype=np.uint8),
        np.zeros((6, 4, 20, 30), dtype=np.uint8),
        np.zeros((0, 20, 30), dtype=np.uint8),
        np.zeros((6, 0, 30), dtype=np.uint8),
    ],
    ids=["float", "one frame without a clip", "four channels", "no frames", "no rows"],
)
def test_frames_of_another_shape_or_type_are_refused(given):
    with pytest.raises(InvalidInputError, match="Frames must be uint8 of shape"):
        Preprocessing()(given)


def test_too_few_frames_for_one_window_are_refused():
    with pytest.raises(InvalidInputError, match="at least 6 frames, got 5"):
        Preprocessing(window=6)(frames(5, 20, 30))


@pytest.mark.parametrize("start", [0, 3])
def test_overlapping_windows_share_their_frames_and_are_the_same(start):
    inputs = Preprocessing(window=6)(frames(12, 20, 30))[start:]
    shared = as_tensor(inputs, torch.device("cpu"))
    assert shared.stride(0) == shared.stride(1) == 20 * 30
    assert torch.equal(shared, torch.tensor(inputs).float() / 255)
    copied = as_tensor(inputs.copy(), torch.device("cpu"))
    assert copied.is_contiguous()
    assert torch.equal(copied, shared)


def test_images_are_taken_as_they_are():
    images = frames(4, 3, 20, 30)
    assert torch.equal(as_tensor(images, torch.device("cpu")), torch.tensor(images).float() / 255)


def test_values_are_cut_and_scaled_between_black_and_white():
    values = np.array([0, 100, 600, 1100, 4000], np.uint16)
    assert quantized(values, (100, 1100)).tolist() == [0, 0, 128, 255, 255]
    assert quantized(np.array([-1.0, 0.0, 1.0]), (-1, 1)).tolist() == [0, 128, 255]


def test_without_a_range_16_bits_keep_their_upper_byte():
    values = np.array([0, 255, 256, 65535], np.uint16)
    assert quantized(values, None).tolist() == [0, 0, 1, 255]
    with pytest.raises(ValueError, match="no range of its values is known"):
        quantized(values.astype(np.float32), None)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 48, 64), (24, 36)),
        ((1, 3, 300, 300), (256, 256)),
        ((2, 3, 100, 90), (256, 300)),
        ((1, 3, 1024, 1024), (224, 224)),
        ((5, 37, 41), (11, 90)),
        ((1, 3, 64, 50), (64, 20)),
    ],
)
def test_without_torch_every_bit_is_the_same(shape, size):
    draw = np.random.default_rng(0)
    for frames in (draw.integers(0, 256, shape), 255 * draw.integers(0, 2, shape)):
        pixels = frames.astype(np.uint8)
        np.testing.assert_array_equal(without_torch(pixels, size), resize(pixels, size))
