import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from tasks.data import images
from tests.tasks.pictures import picture, save

TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: np.rot90,
}


def with_orientation(path, pixels, orientation, **options):
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    image.save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_an_image_is_turned_as_people_see_it(tmp_path, orientation, suffix):
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:8, :8] = 255
    options = {".webp": {"lossless": True}, ".jpg": {"quality": 100}}.get(suffix, {})
    path = with_orientation(tmp_path / f"a{suffix}", pixels, orientation, **options)
    expected = TURNS[orientation](pixels)
    assert np.abs(images.read(path, 1).astype(int) - expected).max() <= 4
    assert images.header(path).size == expected.shape


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_colour_is_turned_as_pillow_turns_it(tmp_path, orientation):
    values = np.random.default_rng(0).integers(0, 256, (5, 9, 3), dtype=np.uint8)
    shallow = with_orientation(tmp_path / "a.png", values, orientation)
    deep = tmp_path / "b.png"
    deep.write_bytes(cv2.imencode(".png", values[..., ::-1].astype(np.uint16) * 257)[1].tobytes())
    exif = images.opened(shallow).getexif().tobytes()[6:]
    content = deep.read_bytes()
    chunk = b"eXIf" + exif
    inserted = struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    deep.write_bytes(content[:33] + inserted + content[33:])
    assert images.header(deep).bits == 16
    found = images.read(deep, 3, (0, 65535))
    assert np.array_equal(found, images.read(shallow, 3))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("colour", [False, True])
def test_twelve_bits_fill_the_range(tmp_path, suffix, colour):
    values = np.random.default_rng(0).integers(0, 4096, (6, 8, 3) if colour else (6, 8))
    path = tmp_path / f"a{suffix}"
    stored = values[..., ::-1] if colour else values
    path.write_bytes(cv2.imencode(suffix, stored.astype(np.uint16))[1].tobytes())
    assert images.header(path).bits == 16
    found = images.read(path, 3, (0, 4095))
    expected = np.rint(values / 4095 * 255).astype(np.uint8)
    expected = expected.transpose(2, 0, 1) if colour else np.stack([expected] * 3)
    assert np.array_equal(found, expected)


def test_floating_point_needs_a_range(tmp_path):
    values = np.array([[-1.0, 0.0], [0.5, 1.0]], np.float32)
    path = save(tmp_path / "a.tif", values)
    assert images.header(path).bits == 32
    assert images.read(path, 1, (-1, 1)).tolist() == [[0, 128], [191, 255]]
    with pytest.raises(images.UnreadableError, match="floating point, and no range"):
        images.read(path, 1)
    save(path, np.array([[np.nan, 0]], np.float32))
    with pytest.raises(images.UnreadableError, match="no finite numbers"):
        images.read(path, 1, (0, 1))


@pytest.mark.parametrize("place", [20, 50, -20])
def test_a_png_whose_checksum_is_wrong_is_refused(tmp_path, place):
    path = save(tmp_path / "a.png", picture(0))
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    with pytest.raises(images.UnreadableError, match=r"CRC|checksum|broken|truncated"):
        images.read(bytes(content), 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP", "PPM"])
def test_an_image_that_is_cut_short_is_refused_with_the_decoders_words(tmp_path, kind):
    path = tmp_path / "a"
    Image.fromarray(picture(0, (64, 64))).convert("RGB").save(path, kind)
    content = path.read_bytes()
    assert images.read(content, 1).shape == (64, 64)
    with pytest.raises(images.UnreadableError, match=r"\w{4,}"):
        images.read(content[: len(content) * 2 // 3], 1)


def test_several_pages_are_counted_and_read(tmp_path):
    pages = [Image.fromarray(picture(index)) for index in range(3)]
    for suffix in (".tif", ".gif", ".png", ".webp"):
        path = tmp_path / f"a{suffix}"
        options = {"lossless": True} if suffix == ".webp" else {}
        pages[0].save(path, save_all=True, append_images=pages[1:], **options)
        assert images.header(path).pages == 3
        found = images.read(path, 1, page=2).astype(int)
        assert np.abs(found - picture(2)).max() <= 1


def test_a_file_that_is_no_image_says_so():
    with pytest.raises(images.UnreadableError, match="those of no image"):
        images.read(b"%PDF-1.7", 1)
    with pytest.raises(images.UnreadableError, match="it is empty"):
        images.read(b"", 1)


def test_the_limit_of_pixels_is_named(tmp_path):
    path = save(tmp_path / "a.png", picture(0))
    with pytest.raises(images.TooManyPixelsError, match="16 x 12 pixels are above the limit"):
        images.header(path, 100)
