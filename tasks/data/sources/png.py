"""PNG files whose bytes depend on nothing but the pixels.

Encoders differ between versions in filters and compression, so the same picture gets another md5.
Here every row has filter 0 and the data go into stored (uncompressed) deflate blocks: the bytes
follow from the PNG (ISO/IEC 15948), zlib (RFC 1950) and deflate (RFC 1951) formats alone.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_STORED = 65535
_GRAY, _COLOUR = 0, 2


def encode(image: NDArray[np.uint8] | NDArray[np.bool_]) -> bytes:
    """A picture as a PNG file: gray (H, W), of 8 bits for uint8 and 1 bit for bool, or RGB.

    Args:
        image: Shape (H, W), or (H, W, 3) of uint8 for colour.

    Raises:
        ValueError: If the array is not a picture of one of these two kinds.

    Example:
        >>> encode(np.zeros((2, 3), np.uint8))[:8] == SIGNATURE
        True
    """
    colour = image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    gray = image.ndim == 2 and image.dtype in (np.uint8, np.bool_)
    if image.size == 0 or not (gray or colour):
        raise ValueError(
            "image must be a non-empty (H, W) array of uint8 or bool, or (H, W, 3) of uint8, got "
            f"shape {image.shape} of {image.dtype}."
        )
    height, width = image.shape[:2]
    depth = 1 if image.dtype == np.bool_ else 8
    rows = np.packbits(image, axis=1) if depth == 1 else image.reshape(height, -1)
    filtered = np.zeros((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 1:] = rows
    header = struct.pack(">IIBBBBB", width, height, depth, _COLOUR if colour else _GRAY, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", _stored(filtered.tobytes())), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _stored(data: bytes) -> bytes:
    """A zlib stream that holds ``data`` uncompressed."""
    blocks = [data[start : start + _MAX_STORED] for start in range(0, len(data), _MAX_STORED)]
    body = b"".join(
        struct.pack("<BHH", block is blocks[-1], len(block), _MAX_STORED - len(block)) + block
        for block in blocks
    )
    return b"\x78\x01" + body + struct.pack(">I", zlib.adler32(data))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
