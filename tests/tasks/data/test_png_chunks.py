import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tasks.data import images, png_chunks
from tests.tasks.pictures import SIZE, picture, save

MOST = 1000


def encoded(mode, kind="PNG", **options):
    """A picture of noise in a mode of Pillow's."""
    pixels = np.random.default_rng(3).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    file = BytesIO()
    made = Image.fromarray(pixels).convert(mode.replace("I;16", "I"))
    (made.convert("I;16") if mode == "I;16" else made).save(file, kind, **options)
    return file.getvalue()


def chunk(kind, content):
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def made_of(stream, width=16, height=12):
    """A gray PNG file whose checksums are right, whatever its stream of pixels is."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", stream), (b"IEND", b""))
    return png_chunks.SIGNATURE + b"".join(chunk(*each) for each in chunks)


TEXT = PngInfo()
TEXT.add_text("of", "a camera")
LINES = b"".join(b"\0" + bytes(range(16)) for _ in range(12))


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
@pytest.mark.parametrize("level", [0, 9])
def test_a_plain_file_is_read_as_pillow_reads_it(mode, channels, level):
    content = encoded(mode, compress_level=level, dpi=(300, 300))
    found = png_chunks.plain(content, channels, MOST)
    assert np.array_equal(found, images.read(content, channels))
    assert found.flags.c_contiguous


@pytest.mark.parametrize(
    ("content", "channels"),
    [
        (encoded("RGB"), 1),
        (encoded("L"), 3),
        (encoded("P"), 3),
        (encoded("RGBA"), 3),
        (encoded("LA"), 1),
        (encoded("1"), 1),
        (encoded("I;16"), 1),
        (encoded("L", transparency=3), 1),
        (encoded("L", pnginfo=TEXT), 1),
        (encoded("L", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"), 1),
        (encoded("L", save_all=True, append_images=[Image.new("L", SIZE[::-1])]), 1),
        (encoded("L", "JPEG"), 1),
        (encoded("L")[:-4], 1),
        (made_of(zlib.compress(LINES)[:-9]), 1),
        (made_of(zlib.compress(LINES)[:-4] + b"abcd"), 1),
        (made_of(zlib.compress(LINES[:-17])), 1),
        (made_of(b""), 1),
        (made_of(zlib.compress(LINES), width=0), 1),
        (made_of(zlib.compress(LINES), width=1 << 20), 1),
        (b"", 1),
        (png_chunks.SIGNATURE, 1),
    ],
)
def test_what_is_not_plain_or_not_whole_is_left_to_pillow(content, channels):
    assert png_chunks.plain(content, channels, MOST) is None


def test_a_whole_file_passes_with_whatever_follows_it(tmp_path):
    content = save(tmp_path / "a.png", picture(0)).read_bytes()
    assert png_chunks.check(content) == {b"IHDR", b"IDAT", b"IEND"}
    assert png_chunks.check(content + b"more") == {b"IHDR", b"IDAT", b"IEND"}


@pytest.mark.parametrize(("place", "chunk"), [(20, "IHDR"), (60, "IDAT"), (-2, "IEND")])
def test_a_damaged_chunk_is_named(tmp_path, place, chunk):
    content = bytearray(save(tmp_path / "a.png", picture(0)).read_bytes())
    content[place] ^= 1
    with pytest.raises(ValueError, match=f"CRC of its chunk '{chunk}' is wrong"):
        png_chunks.check(bytes(content))


@pytest.mark.parametrize("kept", [8, 30, 100, -4])
def test_a_truncated_file_is_refused(tmp_path, kept):
    content = save(tmp_path / "a.png", picture(0)).read_bytes()
    with pytest.raises(ValueError, match="truncated"):
        png_chunks.check(content[:kept])
