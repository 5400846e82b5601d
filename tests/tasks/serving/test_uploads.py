import re
import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from models.errors import InvalidInputError
from tasks.data import decoding
from tasks.packaging.preprocessing import Preprocessing
from tasks.serving.uploads import Limits, TooLargeError, UnsupportedError, is_quick, read_frames

RNG = np.random.default_rng(0)


def encode(pixels, kind="PNG"):
    file = BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def frames(count=3, height=12, width=20):
    return RNG.integers(0, 256, (count, height, width), dtype=np.uint8)


def chunk(name, content):
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def bomb(width, height):
    """A PNG of a few hundred kilobytes whose header promises ``width`` x ``height`` pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(width + 1) * min(height, 1000), 9)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def video(tmp_path):
    def write(suffix, codec, count=8, size=(48, 32)):
        path = tmp_path / f"clip{suffix}"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10, size)
        assert writer.isOpened()
        for place in range(count):
            writer.write(np.full((size[1], size[0], 3), 20 * place, np.uint8))
        writer.release()
        return path

    return write


def read(*files, channels=1, how=None, **limits):
    return receive(*files, how=how or Preprocessing(channels=channels), **limits).frames


def receive(*files, how, **limits):
    return read_frames(files, how=how, limits=Limits(**limits))


def test_lossless_gray_frames_arrive_as_they_were_sent():
    sent = frames()
    assert np.array_equal(read(*(encode(frame) for frame in sent)), sent)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "I;16", "CMYK", "jpeg"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_decoded_as_it_is_for_training(mode, channels, tmp_path):
    colour = Image.fromarray(RNG.integers(0, 256, (9, 11, 3), dtype=np.uint8))
    if mode == "I;16":
        image = Image.fromarray(RNG.integers(0, 2**16, (9, 11), dtype=np.uint16))
    else:
        image = colour.convert("RGB" if mode == "jpeg" else mode)
    path = tmp_path / "image"
    image.save(path, "JPEG" if mode in ("jpeg", "CMYK") else "PNG")
    trained_on = decoding.read_image(path, "image", channels)
    assert np.array_equal(read(path.read_bytes(), channels=channels)[0], trained_on)


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "MJPG"), (".mp4", "mp4v")])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_video_is_decoded_as_it_is_for_training(video, suffix, codec, channels):
    path = video(suffix, codec)
    trained_on = decoding.read_video(path, "clip", channels, range(8))
    found = read(path.read_bytes(), channels=channels)
    assert np.array_equal(found, np.stack(trained_on))


def test_a_file_is_what_its_bytes_say():
    with pytest.raises(UnsupportedError, match=r"^File 2 must be an image .*PNG, JPEG"):
        read(encode(frames(1)[0]), b"%PDF-1.7 not an image at all")


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "WEBP", "PPM", "GIF"])
def test_whatever_is_trained_on_is_read(kind, tmp_path):
    content = encode(frames(1)[0], kind)
    (tmp_path / "image").write_bytes(content)
    assert np.array_equal(read(content)[0], decoding.read_image(tmp_path / "image", "image", 1))


def test_an_image_is_turned_as_people_see_it():
    exif = Image.Exif()
    exif[274] = 6
    [sent] = frames(1)
    file = BytesIO()
    Image.fromarray(sent).save(file, "PNG", exif=exif)
    assert np.array_equal(read(file.getvalue())[0], np.rot90(sent, -1))


def test_deep_images_are_scaled_as_in_training():
    values = RNG.integers(0, 4096, (9, 11), dtype=np.uint16)
    found = read(encode(values), how=Preprocessing(levels=(0, 4095)))
    assert np.array_equal(found[0], np.rint(values / 4095 * 255))
    assert receive(encode(values), how=Preprocessing(levels=(0, 4095))).warnings == ()
    assert np.array_equal(read(encode(values))[0], values >> 8)


def test_another_depth_or_range_than_in_training_is_told():
    values = RNG.integers(0, 4096, (9, 11), dtype=np.uint16)
    [told] = receive(encode(values), how=Preprocessing()).warnings
    assert "16 bits a channel, and the detector was trained on images of 8" in told
    [told] = receive(encode(values * 16), how=Preprocessing(levels=(0, 4095))).warnings
    assert re.search(r"beyond 0 to 4095, .* 9\d% of them were cut", told)
    shallow = receive(encode(frames(1)[0]), how=Preprocessing(levels=(0, 4095)))
    assert shallow.warnings == ()


def test_pages_are_a_clip_for_a_detector_of_clips_and_else_the_first_is_read():
    sent = frames(4)
    file = BytesIO()
    first, *rest = [Image.fromarray(frame) for frame in sent]
    first.save(file, "TIFF", save_all=True, append_images=rest)
    assert np.array_equal(read(file.getvalue(), how=Preprocessing(window=2)), sent)
    found = receive(file.getvalue(), how=Preprocessing())
    assert np.array_equal(found.frames, sent[:1])
    assert found.warnings == ("File 1 has 4 pages, of which the first was read.",)
    with pytest.raises(TooLargeError, match="may hold 3 frames"):
        read(file.getvalue(), how=Preprocessing(window=2), num_frames=3)


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_another_frame_rate_is_told_or_refused(video, suffix):
    content = video(suffix, "MJPG").read_bytes()
    how = Preprocessing(window=2, frame_rate=25.0)
    assert receive(content, how=Preprocessing(window=2, frame_rate=10.2)).warnings == ()
    assert receive(content, how=Preprocessing(frame_rate=25.0)).warnings == ()
    [told] = receive(content, how=how).warnings
    assert "25 frames per second, and this one has 10: speeds look 2.5 times as high" in told
    with pytest.raises(InvalidInputError, match="at the rate of the training videos"):
        receive(content, how=how, same_rate=True)


def test_numbers_in_letters_are_decoded_only_if_they_are_few():
    assert read(b"P2 2 1 255 0 200 ").tolist() == [[[0, 200]]]
    with pytest.raises(TooLargeError, match="above the limit of 4194304"):
        read(b"P2 3000 3000 255 " + b"0 " * 10)


def test_a_truncated_video_is_refused(video):
    content = video(".avi", "MJPG", count=12).read_bytes()
    with pytest.raises(InvalidInputError, match="must be a whole video"):
        read(content[: len(content) * 2 // 3])


def test_an_empty_file_is_refused():
    with pytest.raises(InvalidInputError, match=r"^File 1 must hold an image or a video"):
        read(b"")
    with pytest.raises(InvalidInputError, match="at least one file"):
        read()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_truncated_image_is_refused(kind, share):
    content = encode(frames(1, 40, 60)[0], kind)
    kept = max(9, int(len(content) * share))
    with pytest.raises(InvalidInputError, match=r"must be a whole image") as caught:
        read(content[:kept])
    assert caught.value.http_status == 422


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_damaged_bytes_never_raise_anything_else(kind):
    content = encode(frames(1, 40, 60)[0], kind)
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        for place in RNG.integers(3, len(content), 8):
            damaged[place] = RNG.integers(256)
        try:
            read(bytes(damaged))
        except InvalidInputError:
            refused += 1
    assert refused > 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encode(frames()[0]), True),
        (encode(frames()[0], "JPEG"), True),
        (encode(np.zeros((128, 128), np.uint8)), True),
        (encode(np.zeros((129, 128), np.uint8)), False),
        (encode(np.zeros((129, 128), np.uint8), "JPEG"), False),
        (encode(frames(1, 120, 120)[0]) + bytes(1 << 15), False),
        (bomb(30_000, 30_000), False),
        (encode(frames()[0], "GIF"), False),
        (encode(frames()[0])[:12], True),
        (encode(frames()[0], "JPEG")[:12], False),
        (b"", False),
    ],
)
def test_an_image_is_quick_by_its_header(content, expected):
    file = BytesIO(content)
    assert is_quick(file) is expected
    assert file.tell() == 0


def test_a_decompression_bomb_is_refused_by_its_header():
    for size in [(30_000, 30_000), (8193, 8192)]:
        with pytest.raises(TooLargeError) as caught:
            read(bomb(*size))
        assert caught.value.http_status == 413


def test_a_photograph_of_a_thousand_scans_is_refused():
    content = encode(frames(1)[0], "JPEG")
    scan = content.index(b"\xff\xda")
    with pytest.raises(TooLargeError, match="File 1 may have 100 scans"):
        read(content[:scan] + content[scan:-2] * 1000 + content[-2:])
    assert read(encode(frames(1)[0]) + b"\xff\xda" * 1000).shape == (1, 12, 20)


def test_a_bomb_of_many_frames_is_refused_before_decoding():
    content = encode(np.zeros((100, 100), np.uint8))
    with pytest.raises(TooLargeError, match="5 or more frames of 100 x 100"):
        read(*[content] * 5, total_pixels=49_999)
    with pytest.raises(TooLargeError, match="may hold 4 frames"):
        read(*[content] * 5, num_frames=4)


def test_a_video_is_held_to_the_same_limits(video):
    content = video(".avi", "MJPG").read_bytes()
    for limits in ({"num_frames": 7}, {"frame_pixels": 1000}, {"total_pixels": 48 * 32 * 7}):
        with pytest.raises(TooLargeError):
            read(content, **limits)


def test_a_broken_video_is_refused(video):
    content = video(".mp4", "mp4v").read_bytes()
    with pytest.raises(InvalidInputError, match=r"must be a whole .* is truncated: its box 'moov'"):
        read(content[: len(content) // 4])


def test_frames_of_different_sizes_are_refused():
    with pytest.raises(InvalidInputError, match="one size, got 20 x 12, 8 x 9"):
        read(encode(frames(1)[0]), encode(frames(1, 9, 8)[0]))


def test_a_video_among_images_is_refused(video):
    with pytest.raises(InvalidInputError, match="must come alone, got 2 files"):
        read(video(".avi", "MJPG").read_bytes(), encode(frames(1)[0]))


def test_a_limit_must_be_positive():
    with pytest.raises(InvalidInputError, match="waiting must be positive, got 0"):
        Limits(waiting=0)
