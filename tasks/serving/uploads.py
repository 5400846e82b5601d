"""What people send to the server: images or a short video, checked before they are decoded.

A file is what its bytes say, whatever its name. Every refusal carries an HTTP status of its own and
a sentence for the sender.

Shapes: T = frames, H W = frame.
"""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.errors import InvalidInputError
from tasks.data import images, png_chunks, videos
from tasks.data.images import MAX_PIXELS, TooManyPixelsError, UnreadableError
from tasks.packaging.preprocessing import RATE_TOLERANCE, Preprocessing

PLAIN, PLAIN_PIXELS = (b"P1", b"P2", b"P3"), 1 << 22
"""First bytes of images whose pixels are decimal numbers, which are slow to decode, and the most
pixels that such an image may have."""
MOST_CUT = 0.01
"""Share of an image's values that may lie beyond the range of the training images untold."""
QUICK_STARTS, QUICK_BYTES, QUICK_PIXELS = (png_chunks.SIGNATURE, b"\xff\xd8"), 1 << 15, 1 << 14
"""First bytes, most bytes and most pixels of an image that is decoded in less time than another
thread needs to take it on."""
Result = TypeVar("Result")
START_OF_SCAN, MOST_SCANS = b"\xff\xda", 100
"""Marker of a pass over a progressive JPEG, of which there are about ten, and how many may be."""


def is_file(start: bytes) -> bool:
    """Whether the first 16 bytes of a request are those of an image or a video."""
    return images.is_image(start) or videos.is_video(start)


def is_quick(file: IO[bytes]) -> bool:
    """Whether a file, at whose start we are, holds one small image, as its header says."""
    content = file.read(QUICK_BYTES + 1)
    file.seek(0)
    if len(content) > QUICK_BYTES or not content.startswith(QUICK_STARTS) or b"acTL" in content:
        return False
    if content.startswith(png_chunks.SIGNATURE):
        return math.prod(png_chunks.size(content)) <= QUICK_PIXELS
    with suppress(TooManyPixelsError, UnreadableError), images.opened(content, QUICK_PIXELS):
        return True
    return False


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
    frame_pixels: int = MAX_PIXELS
    """Pixels of one frame, read from its header before decoding; as many as in training."""
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
    wait_seconds: float = math.inf
    """Seconds that a request may have to wait; who would wait longer is turned away."""
    same_rate: bool = False
    """Refuse videos of another frame rate than those of the training, instead of a warning."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, bool) and value <= 0:
                raise InvalidInputError(f"{name} must be positive, got {value}.")


@dataclass(frozen=True, eq=False)
class Received:
    """The frames of one request, as a detector is to see them."""

    frames: NDArray[np.uint8]
    """(T, H, W) gray or (T, 3, H, W) colour."""
    warnings: tuple[str, ...] = ()
    """What the sender should know of how they were read."""


def read_frames(files: Sequence[bytes], *, how: Preprocessing, limits: Limits) -> Received:
    """Decode the files of one request to the frames of one clip, in the order sent.

    They are read as in training: whatever the format, turned by their EXIF orientation, and scaled
    by the range of the images that the detector was trained on.

    Args:
        files: Contents of images, or of a single video or image of several pages.
        how: What the detector was trained on.
        limits: What is refused.

    Raises:
        TooLargeError: If there are more frames or pixels than allowed.
        UnsupportedError: If a file is neither image nor video.
        InvalidInputError: If there is no file, one is empty or damaged, or frames differ in size;
            or a video has another frame rate than in training and that is refused.
    """
    if not files:
        raise InvalidInputError("A request must hold at least one file, got none.")
    most = min(limits.frame_pixels, limits.total_pixels)
    if len(files) == 1 and (frame := png_chunks.plain(files[0], how.channels, most)) is not None:
        return Received(frame[None])
    kinds = [_kind(content, place) for place, content in enumerate(files, start=1)]
    if "video" not in kinds:
        return _read_images(files, how=how, limits=limits)
    if len(files) > 1:
        raise InvalidInputError(
            f"A video must come alone, got {len(files)} files. Send one video, or only images."
        )
    return _read_video(files[0], how=how, limits=limits)


def _kind(content: bytes, place: int) -> str:
    if not content:
        raise InvalidInputError(f"File {place} must hold an image or a video, and is empty.")
    start = content[:16]
    if images.is_image(start):
        return "image"
    if videos.is_video(start):
        return "video"
    raise UnsupportedError(
        f"File {place} must be an image ({', '.join(images.FORMATS)}) or a video (MP4, AVI, MKV, "
        "MPEG); its first bytes say that it is none of them."
    )


def _read_images(files: Sequence[bytes], *, how: Preprocessing, limits: Limits) -> Received:
    opened = [_open(content, place, limits) for place, content in enumerate(files, start=1)]
    headers = [
        _told(place, partial(images.header_of, image, limits.num_frames + 1))
        for place, image in enumerate(opened, start=1)
    ]
    sizes = dict.fromkeys(header.size for header in headers)
    pages = headers[0].pages if len(files) == 1 and how.window > 1 else 1
    largest = max(sizes, key=lambda size: size[0] * size[1])
    _check_size((largest[1], largest[0]), len(files) * pages, limits)
    if len(sizes) > 1:
        found = ", ".join(f"{width} x {height}" for height, width in sizes)
        raise InvalidInputError(
            f"All frames of one request must have one size, got {found}. Send them separately."
        )
    frames, told = list[NDArray[np.uint8]](), list[str]()
    for place, (header, image, content) in enumerate(zip(headers, opened, files, strict=True), 1):
        read = [_decode(image, content, place, page, how) for page in range(pages)]
        image.close()  # it holds its pixels, and there may be many
        frames += [pixels for pixels, _ in read]
        if pages < header.pages:
            told.append(f"File {place} has {header.pages} pages, of which the first was read.")
        if header.bits > 8:
            told += _range_warnings(place, header.bits, max(cut for _, cut in read), how)
    return Received(np.stack(frames), tuple(told))


def _range_warnings(place: int, bits: int, cut: float, how: Preprocessing) -> Iterator[str]:
    """What a range of values other than in training means for an image of more than 8 bits."""
    if how.levels is None:
        yield (
            f"File {place} has {bits} bits a channel, and the detector was trained on images of 8: "
            "of 16 bits the upper 8 were read. Save it with 8 bits."
        )
    elif cut > MOST_CUT:
        yield (
            f"File {place} holds values beyond {how.levels[0]:g} to {how.levels[1]:g}, the range "
            f"of the training images: {cut:.0%} of them were cut."
        )


def _open(content: bytes, place: int, limits: Limits) -> Image.Image:
    """The image with its header read and no pixel decoded."""
    if content.startswith(b"\xff\xd8") and content.count(START_OF_SCAN) > MOST_SCANS:
        raise TooLargeError(
            f"File {place} may have {MOST_SCANS} scans, and has more: it would take minutes to "
            "decode. Save it again."
        )
    most = min(limits.frame_pixels, PLAIN_PIXELS) if content[:2] in PLAIN else limits.frame_pixels
    return _told(place, lambda: images.opened(content, most))


def _decode(
    image: Image.Image, content: bytes, place: int, page: int, how: Preprocessing
) -> tuple[NDArray[np.uint8], float]:
    """The pixels of an image, and the share of its values beyond the range of the training's."""

    def read() -> tuple[NDArray[np.uint8], float]:
        source = images.opened(content) if page else image
        picture, cut = images.decoded(source, content, page), 0.0
        if isinstance(picture, np.ndarray) and how.levels:
            low, high = how.levels
            values = picture.astype(np.float64)
            cut = float(((values < low) | (values > high)).mean())
        return images.to_channels(picture, how.channels, how.levels), cut

    return _told(place, read)


def _told(place: int, read: Callable[[], Result]) -> Result:
    """What ``read`` returns; its failure names the file of the request."""
    try:
        return read()
    except TooManyPixelsError as error:
        raise TooLargeError(f"File {place} must have fewer pixels: {error}.") from error
    except (UnreadableError, OSError) as error:
        raise InvalidInputError(
            f"File {place} must be a whole image or video of a kind that is decoded here: {error}. "
            "Send it again."
        ) from error


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


def _read_video(content: bytes, *, how: Preprocessing, limits: Limits) -> Received:
    with tempfile.TemporaryDirectory(prefix="unseen-upload-") as folder:
        path = Path(folder) / "clip"  # OpenCV reads videos from disk only
        path.write_bytes(content)
        return read_video(path, how=how, limits=limits)


def read_video(path: Path, *, how: Preprocessing, limits: Limits) -> Received:
    """The frames of a video file; see ``read_frames``."""
    header = _told(1, lambda: videos.header(path))
    frames: list[NDArray[np.uint8]] = []
    reader = videos.read(path, how.channels, range(limits.num_frames + 1), how.levels)
    while (frame := _told(1, lambda: next(reader, None))) is not None:
        _check_size((frame.shape[-1], frame.shape[-2]), len(frames) + 1, limits)
        frames.append(frame)
    if not frames:
        raise InvalidInputError("File 1 must be a whole video, and holds no frame that decodes.")
    if len({frame.shape for frame in frames}) > 1:
        raise InvalidInputError("File 1 must have frames of one size, and they differ.")
    if len(frames) <= limits.num_frames:
        _told(1, lambda: videos.check_count(path, len(frames), header.pages))
    return Received(np.stack(frames), rate_warnings(videos.frame_rate(path), how, limits))


def rate_warnings(rate: float | None, how: Preprocessing, limits: Limits) -> tuple[str, ...]:
    """What a frame rate other than in training means for speeds, which a window of frames sees.

    Raises:
        InvalidInputError: If such videos are refused.
    """
    known = how.frame_rate
    if how.window == 1 or not known or not rate:
        return ()
    if 1 / RATE_TOLERANCE <= rate / known <= RATE_TOLERANCE:
        return ()
    told = (
        f"The detector was trained on videos of {known:g} frames per second, and this one has "
        f"{rate:g}: speeds look {known / rate:.2g} times as high"
    )
    if limits.same_rate:
        raise InvalidInputError(f"{told}. Send it at the rate of the training videos.")
    return (f"{told}.",)
