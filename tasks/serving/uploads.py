"""What people send to the server: images or a short video, checked before they are decoded.

A file is what its bytes say, whatever its name. Every refusal carries an HTTP status of its own and
a sentence for the sender.

Shapes: T = frames, H W = frame.
"""

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from models.errors import InvalidInputError
from tasks.data import images

SIGNATURES = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff"}
"""First bytes of the images that are accepted."""
START_OF_SCAN, MOST_SCANS = b"\xff\xda", 100
"""Marker of a pass over a progressive JPEG, of which there are about ten, and how many may be."""


class TooLargeError(InvalidInputError):
    """A request exceeds one of the server's limits."""

    http_status = 413


class UnsupportedError(InvalidInputError):
    """A request, or a file in it, is of a kind that the server does not read."""

    http_status = 415


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one server takes on. Whatever exceeds it is refused before it costs memory."""

    body_bytes: int = 64 * 2**20
    """Bytes of one request."""
    body_seconds: float = 60.0
    """Seconds in which a request must have arrived."""
    num_files: int = 256
    """Files in one request."""
    num_frames: int = 2048
    """Frames in one request, those of a video included."""
    frame_pixels: int = 4096 * 4096
    """Pixels of one frame, read from its header before decoding."""
    total_pixels: int = 100_000_000
    """Pixels of all frames of one request together."""
    concurrent: int = 2
    """Requests whose files are decoded at the same time."""
    waiting: int = 96
    """Requests that may be under way at the same time, arriving, waiting or being scored."""
    waiting_each: int = 64
    """Of one client: of one key, or of one address where no key is needed."""
    queued_bytes: int = 256 * 2**20
    """Bytes of decoded frames that may wait to be scored."""
    answer_seconds: float = 30.0
    """Seconds in which a request must be answered after it has arrived."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise InvalidInputError(f"{name} must be positive, got {value}.")


def read_frames(files: Sequence[bytes], *, channels: int, limits: Limits) -> NDArray[np.uint8]:
    """Decode the files of one request to the frames of one clip, in the order sent.

    Args:
        files: Contents of PNG or JPEG images, or of a single MP4 or AVI video.
        channels: 1 for gray frames (T, H, W), 3 for colour (T, 3, H, W).
        limits: What is refused.

    Raises:
        TooLargeError: If there are more frames or pixels than allowed.
        UnsupportedError: If a file is neither image nor video.
        InvalidInputError: If there is no file, one is empty or damaged, or frames differ in size.
    """
    if not files:
        raise InvalidInputError("A request must hold at least one file, got none.")
    kinds = [_kind(content, place) for place, content in enumerate(files, start=1)]
    if "video" not in kinds:
        return _read_images(files, channels=channels, limits=limits)
    if len(files) > 1:
        raise InvalidInputError(
            f"A video must come alone, got {len(files)} files. Send one video, or only images."
        )
    return _read_video(files[0], channels=channels, limits=limits)


def _kind(content: bytes, place: int) -> str:
    if not content:
        raise InvalidInputError(f"File {place} must hold an image or a video, and is empty.")
    if content.startswith(tuple(SIGNATURES.values())):
        return "image"
    if content[4:8] == b"ftyp" or (content[:4] == b"RIFF" and content[8:12] == b"AVI "):
        return "video"
    raise UnsupportedError(
        f"File {place} must be a PNG or JPEG image, or an MP4 or AVI video; its first bytes say "
        "that it is none of them."
    )


def _read_images(files: Sequence[bytes], *, channels: int, limits: Limits) -> NDArray[np.uint8]:
    images = [_open(content, place) for place, content in enumerate(files, start=1)]
    sizes = dict.fromkeys(image.size for image in images)
    _check_size(max(sizes, key=lambda size: size[0] * size[1]), len(images), limits)
    if len(sizes) > 1:
        found = ", ".join(f"{width} x {height}" for width, height in sizes)
        raise InvalidInputError(
            f"All frames of one request must have one size, got {found}. Send them separately."
        )
    return np.stack([_decode(image, place, channels) for place, image in enumerate(images, 1)])


def _open(content: bytes, place: int) -> Image.Image:
    """The image with its header read and no pixel decoded."""
    if content.startswith(SIGNATURES["JPEG"]) and content.count(START_OF_SCAN) > MOST_SCANS:
        raise TooLargeError(
            f"File {place} may have {MOST_SCANS} scans, and has more: it would take minutes to "
            "decode. Save it again."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(BytesIO(content), formats=tuple(SIGNATURES))
        except Image.DecompressionBombError as error:
            raise TooLargeError(f"File {place} has too many pixels: {error}") from error
        except Exception as error:  # damaged bytes raise whatever Pillow's parsers stumble over
            raise _damaged(place) from error


def _decode(image: Image.Image, place: int, channels: int) -> NDArray[np.uint8]:
    try:
        image.load()
        return images.to_channels(ImageOps.exif_transpose(image), channels)
    except Exception as error:  # see _open
        raise _damaged(place) from error


def _damaged(place: int) -> InvalidInputError:
    return InvalidInputError(
        f"File {place} must be a whole image, and cannot be decoded: it is truncated or damaged."
    )


def _check_size(size: tuple[int, int], num_frames: int, limits: Limits) -> None:
    """Refuse frames (width, height) that are too large, or too many of them."""
    width, height = size
    if width * height > limits.frame_pixels:
        raise TooLargeError(
            f"A frame may have {limits.frame_pixels} pixels, got {width} x {height}. Scale it down."
        )
    if num_frames > limits.num_frames or width * height * num_frames > limits.total_pixels:
        raise TooLargeError(
            f"A request may hold {limits.num_frames} frames and {limits.total_pixels} pixels in "
            f"all, got {num_frames} or more frames of {width} x {height}. Send a shorter clip."
        )


def _read_video(content: bytes, *, channels: int, limits: Limits) -> NDArray[np.uint8]:
    with tempfile.TemporaryDirectory(prefix="unseen-upload-") as folder:
        path = Path(folder) / "clip"  # OpenCV reads videos from disk only
        path.write_bytes(content)
        frames = list(_video_frames(path, channels=channels, limits=limits))
    if not frames:
        raise InvalidInputError("File 1 must be a whole video, and holds no frame that decodes.")
    return np.stack(frames)


def _video_frames(path: Path, *, channels: int, limits: Limits) -> Iterator[NDArray[np.uint8]]:
    import cv2

    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        size = (
            int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        num_frames = 0
        while capture.grab():
            num_frames += 1
            _check_size(size, num_frames, limits)
            decoded, pixels = capture.retrieve()
            if not decoded or pixels.shape[1::-1] != size:
                raise InvalidInputError(
                    f"File 1 is damaged: frame {num_frames - 1} cannot be read."
                )
            yield images.to_channels(Image.fromarray(pixels[..., ::-1]), channels)
    finally:
        capture.release()
