"""The checksums of PNG files, of which Pillow looks at some only."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""First bytes of every PNG file."""


def size(content: bytes) -> tuple[int, int]:
    """Width and height that the header of a PNG file tells; 0 and 0 if there is none."""
    width, height = struct.unpack(">II", content[16:24].rjust(8, b"\0"))
    return width, height


def check(content: bytes) -> None:
    """Raise unless every chunk of a PNG file has the CRC that it says, up to the last.

    Args:
        content: The whole file.

    Raises:
        ValueError: If a chunk was damaged, or the file is truncated.
    """
    view, place = memoryview(content), len(SIGNATURE)
    while place + 12 <= len(view):
        (length,) = struct.unpack_from(">I", view, place)
        end, kind = place + 8 + length, bytes(view[place + 4 : place + 8])
        if end + 4 > len(view):
            break
        if zlib.crc32(view[place + 4 : end]) != struct.unpack_from(">I", view, end)[0]:
            name = kind.decode("ascii", "replace")
            raise ValueError(f"the CRC of its chunk {name!r} is wrong: its bytes were damaged")
        if kind == b"IEND":
            return
        place = end + 4
    raise ValueError("it is truncated: the PNG file ends before its last chunk")
