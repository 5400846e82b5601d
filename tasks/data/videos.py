"""From bytes to frames: the one reader of video files, and of images that have many pages.

A file is what its bytes say: OpenCV decodes videos, Pillow the pages of images.

Shapes: H W = frame.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.data import images
from tasks.data.images import MAX_PIXELS, Header, TooManyPixelsError, UnreadableError
from tasks.packaging.preprocessing import Levels

AVI, ISO, MATROSKA, MPEG = b"RIFF", b"ftyp", b"\x1aE\xdf\xa3", b"\x00\x00\x01"
"""Bytes by which the containers of videos are known; ``ftyp`` stands at the fifth byte."""
CODECS = {b"av01": "AV1", b"AV01": "AV1", b"hev1": "HEVC", b"hvc1": "HEVC", b"avc1": "H.264"}
"""Names of codecs that containers spell otherwise."""
MOST_BOXES = 10_000
"""Parts of a file that are looked through."""
QUIET = "-8"
"""FFmpeg's level of log that says nothing."""
TOLERATED = 0.02
"""Share of the frames that the header of a video may say too many, where it can only estimate."""


def is_video(content: bytes) -> bool:
    """Whether the first 16 bytes of a file are those of a container of videos."""
    if content[4:8] == ISO:
        return content[8:12] not in images.BRANDS
    riff = content.startswith(AVI) and content[8:12] == b"AVI "
    return riff or content.startswith((MATROSKA, MPEG))


def header(path: Path) -> Header:
    """Size of a video's frames, and how many its header says it has.

    Raises:
        UnreadableError: If it is no video.
        TooManyPixelsError: If its frames are larger than allowed.
    """
    if _has_pages(path):
        return images.header(path)
    with _capture(path) as capture:
        return Header("video", _size(capture), 8, max(_stated(capture), 1))


def frame_rate(path: Path) -> float | None:
    """Frames per second that a video says it has; None if it does not say.

    Raises:
        UnreadableError: If it is no video.
    """
    import cv2

    if _has_pages(path):
        with images.opened(path) as image:
            if image.format in {"AVIF", "WEBP"}:  # they tell it with their pixels
                images.decoded(image, path)
            milliseconds = image.info.get("duration") or 0
            return 1000 / milliseconds if milliseconds else None
    with _capture(path) as capture:
        rate = float(capture.get(cv2.CAP_PROP_FPS))
        return rate if np.isfinite(rate) and rate > 0 else None


def count_frames(path: Path) -> int:
    """Frames of a video, counted by decoding it, because headers are often wrong.

    Raises:
        UnreadableError: If it is no video, or ends before its header says.
    """
    if _has_pages(path):
        return images.header(path).pages
    with _capture(path) as capture:
        stated, found, codec = _stated(capture), 0, _codec(capture)
        while capture.grab():
            found += 1
    if not found:
        raise UnreadableError(f"{codec} cannot be decoded here")
    check_count(path, found, stated)
    return found


def check_count(path: Path, found: int, stated: int) -> None:
    """Raise if a video has fewer frames than its header says.

    The header of an AVI file counts its frames. Others only tell how long they last.

    Raises:
        UnreadableError: If it is truncated.
    """
    with path.open("rb") as file:
        exact = file.read(4) == AVI
    spare = 0 if exact else max(2, round(TOLERATED * stated))
    if found + spare < stated:
        raise UnreadableError(f"it ends after {found} of the {stated} frames that its header says")


def read(
    path: Path, channels: int, wanted: range, levels: Levels | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Frames of a video at the positions ``wanted`` (step 1), as far as it has them.

    Each is (H, W) gray for 1 channel or (3, H, W) colour for 3.

    Raises:
        UnreadableError: If it is no video, or a frame of it is damaged.
    """
    if _has_pages(path):
        yield from _read_pages(path, channels, wanted, levels)
        return
    with _capture(path) as capture:
        position = 0
        while position < wanted.stop and capture.grab():
            if position >= wanted.start:
                whole, pixels = capture.retrieve()
                if not whole:
                    raise UnreadableError(f"its frame {position} cannot be decoded")
                yield images.to_channels(Image.fromarray(pixels[..., ::-1]), channels)
            position += 1


def read_first(path: Path, channels: int) -> NDArray[np.uint8]:
    """The first frame of a video.

    Raises:
        UnreadableError: If it has none.
    """
    for frame in read(path, channels, range(1)):
        return frame
    count_frames(path)  # which tells why it has none
    raise UnreadableError("it has no frame")


def _read_pages(
    path: Path, channels: int, wanted: range, levels: Levels | None
) -> Iterator[NDArray[np.uint8]]:
    with images.opened(path) as image:
        last = images.header_of(image).pages
    for page in range(wanted.start, min(wanted.stop, last)):
        with images.opened(path) as image:
            yield images.to_channels(images.decoded(image, path, page), channels, levels)


def _has_pages(path: Path) -> bool:
    """Whether a file is an image, which may have several pages."""
    with path.open("rb") as file:
        return images.is_image(file.read(16))


@contextmanager
def _capture(path: Path) -> Iterator[Any]:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", QUIET)  # what it says, our errors say
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise UnreadableError(_why_closed(path))
        _size(capture)
        yield capture
    finally:
        capture.release()


def _why_closed(path: Path) -> str:
    """Why OpenCV does not open a file, as far as its bytes tell."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        place = 0
        kinds: list[bytes] = []
        while place + 8 <= size and len(kinds) < MOST_BOXES:
            file.seek(place)
            length, kind = struct.unpack(">I4s", file.read(8))
            kinds.append(kind)
            if length == 1:  # the real one, of 64 bits, follows
                (length,) = struct.unpack(">Q", file.read(8).rjust(8, b"\0"))
            place += max(length, 8)
    if kinds[:1] == [ISO] and (place > size or b"moov" not in kinds):
        return "it is truncated: its box 'moov', which says where its frames are, is not whole"
    return "OpenCV cannot open it as a video"


def _codec(capture: Any) -> str:
    """The name of a video's codec, as its container spells it."""
    import cv2

    name = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little")
    known = CODECS.get(name)
    return known or f"its codec {name.decode('ascii', 'replace')!r}"


def _size(capture: Any) -> tuple[int, int]:
    import cv2

    width, height = (
        int(capture.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    if width * height > MAX_PIXELS:
        raise TooManyPixelsError(
            f"its frames of {width} x {height} pixels are above the limit of {MAX_PIXELS}"
        )
    return height, width


def _stated(capture: Any) -> int:
    import cv2

    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(count) if np.isfinite(count) and count > 0 else 0
