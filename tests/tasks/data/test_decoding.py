import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from models.errors import DataError
from tasks.data import decoding
from tests.tasks.pictures import picture, save


def write_video(path, frames):
    import cv2

    height, width = frames[0].shape
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*"FFV1"), 10, (width, height), isColor=False
    )
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def bomb(path, side):
    """A PNG of a few bytes that claims to have ``side`` x ``side`` pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    content = (
        chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


def test_gray_images_are_read_as_they_are(tmp_path):
    path = save(tmp_path / "a.png", picture(0))
    assert (decoding.read_image(path, "a", 1) == picture(0)).all()
    assert (decoding.read_image(path, "a", 3) == picture(0)).all()
    assert decoding.read_image(path, "a", 3).shape == (3, 12, 16)


def test_colour_images_have_their_channels_first(tmp_path):
    pixels = picture(0, (12, 16, 3))
    path = save(tmp_path / "a.png", pixels)
    assert (decoding.read_image(path, "a", 3) == pixels.transpose(2, 0, 1)).all()
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(decoding.read_image(path, "a", 1) - luma).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_palette_images_are_read_by_their_colours(tmp_path, channels):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), mode="P")
    image.putpalette([10, 10, 10, 200, 200, 200])
    image.save(tmp_path / "a.png")
    read = decoding.read_image(tmp_path / "a.png", "a", channels)
    assert (read == np.array([[10, 200], [200, 10]])).all()


def test_images_of_16_bits_keep_their_upper_byte(tmp_path):
    values = np.array([[0, 255, 256], [32768, 65535, 4096]], np.uint16)
    path = save(tmp_path / "a.png", values)
    assert (decoding.read_image(path, "a", 1) == values >> 8).all()
    assert (decoding.read_image(path, "a", 3)[2] == values >> 8).all()


def test_transparency_is_dropped(tmp_path):
    pixels = picture(0, (12, 16, 4))
    path = save(tmp_path / "a.png", pixels)
    assert (decoding.read_image(path, "a", 3) == pixels[..., :3].transpose(2, 0, 1)).all()


def test_floating_point_images_are_refused(tmp_path):
    path = save(tmp_path / "a.tif", np.ones((4, 4), np.float32))
    with pytest.raises(DataError, match=r"set/a.tif must be an image.*no range of its values"):
        decoding.read_image(path, "set/a.tif", 1)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"set/a.png must be an image"):
        decoding.read_image(path, "set/a.png", 1)


def test_a_truncated_image_is_named(tmp_path):
    path = save(tmp_path / "a.png", picture(0, (64, 64)))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"set/a.png must be an image"):
        decoding.read_image(path, "set/a.png", 1)


@pytest.mark.parametrize("side", [9000, 50000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, side, recwarn):
    with pytest.raises(DataError, match=r"set/a.png must be an image of at most 67108864 pixels"):
        decoding.read_image(bomb(tmp_path / "a.png", side), "set/a.png", 1)
    assert not [w for w in recwarn if issubclass(w.category, Image.DecompressionBombWarning)]


def test_a_mask_that_cannot_be_decoded_is_named(tmp_path):
    path = tmp_path / "m.png"
    path.write_bytes(b"GIF, but no more")
    with pytest.raises(DataError, match=r"set/m.png must be an image that marks pixels.*no image"):
        decoding.read_mask(path, "set/m.png")


@pytest.mark.parametrize(
    "content",
    [
        b"0 1 1 0",
        b"0\r\n1\r\n1\r\n0\r\n\r\n",
        b"\xef\xbb\xbf0,1,1,0\n",
        "0\n1\n1\n0\n".encode("utf-16"),
        "0\n1\n1\n0\n".encode("utf-16-le"),
        "0\n1\n1\n0\n".encode("utf-16-be"),
        b"0.0; 1.0; 1.; 0\n\n\n",
    ],
)
def test_a_label_file_is_read_however_it_was_saved(tmp_path, content):
    (tmp_path / "l.txt").write_bytes(content)
    labels = decoding.read_labels(tmp_path / "l.txt", "l", 4)
    assert labels.tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"0 1 1", "3 values"),
        (b"0 1 2 0", "the value '2'"),
        (b"", "0 values"),
        (b"0 1 nan 0", "nan"),
    ],
)
def test_a_label_file_that_does_not_fit_is_named(tmp_path, content, found):
    (tmp_path / "l.txt").write_bytes(content)
    with pytest.raises(DataError, match=f"set/l.txt must hold a 0 or 1 for each of the 4.*{found}"):
        decoding.read_labels(tmp_path / "l.txt", "set/l.txt", 4)


def test_a_video_is_counted_and_read_frame_by_frame(tmp_path):
    frames = [picture(t, (16, 32)) for t in range(7)]
    path = write_video(tmp_path / "a.avi", frames)
    assert decoding.count_frames(path, "a") == 7
    read = decoding.read_video(path, "a", 1, range(7))
    assert np.abs(np.stack(read).astype(int) - np.stack(frames)).max() <= 2
    part = decoding.read_video(path, "a", 3, range(2, 5))
    assert len(part) == 3
    assert (part[0][0] == read[2]).all()


def test_a_video_needs_no_suffix(tmp_path):
    path = write_video(tmp_path / "a.avi", [picture(t, (16, 32)) for t in range(3)])
    assert decoding.count_frames(path.rename(tmp_path / "0a1b2c"), "a") == 3


def test_a_file_that_is_no_video_is_named(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"not a video")
    with pytest.raises(
        DataError, match=r"set/a.mp4 must be a whole video.*cannot open it as a video"
    ):
        decoding.count_frames(path, "set/a.mp4")


def test_a_video_that_ends_early_is_named(tmp_path):
    path = write_video(tmp_path / "a.avi", [picture(t, (16, 32)) for t in range(3)])
    with pytest.raises(
        DataError, match=r"set/a.avi must be a whole video.*frame 4 is wanted.*ends after 3 frames"
    ):
        decoding.read_video(path, "set/a.avi", 1, range(5))


def test_a_frame_of_another_size_is_named():
    images = [picture(0), picture(1), picture(2, (6, 8))]
    with pytest.raises(DataError, match=r"a is 12x16, c is 6x8"):
        decoding.check_sizes(images, ["a", "b", "c"])
    decoding.check_sizes(images[:2], ["a", "b"])
