"""PNG files: their checksums, of which Pillow looks at some only, and the pixels of plain ones."""

import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""First bytes of every PNG file."""
DEPTH_AND_COLOUR = {1: b"\x08\x00", 3: b"\x08\x02"}
"""Of plain files, by channels."""
PIXELS_ALONE = frozenset({b"IHDR", b"IDAT", b"IEND", b"pHYs"})
"""Chunks that plain files may have."""


def size(content: bytes) -> tuple[int, int]:
    """Width and height that the header of a PNG file tells; 0 and 0 if there is none."""
    width, height = struct.unpack(">II", content[16:24].rjust(8, b"\0"))
    return width, height


def plain(content: bytes, channels: int, max_pixels: int) -> NDArray[np.uint8] | None:
    """Pixels of a whole PNG file in which nothing but its pixels says what is seen.

    That is 8 bits, gray for 1 channel or RGB for 3, and no palette, transparency, second page,
    orientation or text. OpenCV needs a third of Pillow's time for a small one.

    Args:
        content: The whole file.
        channels: 1 or 3.
        max_pixels: Most pixels that are decoded.

    Returns:
        (H, W) for 1 channel, (3, H, W) for 3. None for all others, and for damaged ones: of these
        Pillow knows what is wrong.
    """
    if content[24:26] != DEPTH_AND_COLOUR[channels] or math.prod(size(content)) > max_pixels:
        return None
    try:
        if not check(content) <= PIXELS_ALONE:
            return None
    except ValueError:
        return None
    import cv2

    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.ndim != channels // 2 + 2:
        return None
    pixels = found if channels == 1 else found[..., ::-1].transpose(2, 0, 1)
    return np.ascontiguousarray(pixels, dtype=np.uint8)


def check(content: bytes) -> set[bytes]:
    """Raise unless every chunk of a PNG file has the CRC that it says, up to the last.

    Args:
        content: The whole file.

    Returns:
        The kinds of its chunks.

    Raises:
        ValueError: If a chunk was damaged, or the file is truncated.
    """
    view, place, kinds = memoryview(content), len(SIGNATURE), set[bytes]()
    while place + 12 <= len(view):
        (length,) = struct.unpack_from(">I", view, place)
        end, kind = place + 8 + length, bytes(view[place + 4 : place + 8])
        if end + 4 > len(view):
            break
        if zlib.crc32(view[place + 4 : end]) != struct.unpack_from(">I", view, end)[0]:
            name = kind.decode("ascii", "replace")
            raise ValueError(f"the CRC of its chunk {name!r} is wrong: its bytes were damaged")
        kinds.add(kind)
        if kind == b"IEND":
            return kinds
        place = end + 4
    raise ValueError("it is truncated: the PNG file ends before its last chunk")
