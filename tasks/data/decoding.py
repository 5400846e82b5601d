"""From bytes to pixels: images with Pillow, video files with OpenCV.

Every failure is a DataError that names the file, because what is read here was promised by a data
version. Pixels are 8-bit; 16-bit images keep their upper byte.

Shapes: H W = image, T = frames.
"""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.errors import DataError

IMAGES = frozenset(
    {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Suffixes of image files."""
VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg"})
"""Suffixes of video files."""
MAX_PIXELS = 1 << 26
"""Pixels of the largest image that is decoded, 8192 x 8192; a larger one is a mistake or a bomb."""


def open_image(path: Path, name: str) -> Image.Image:
    """Decode an image file.

    Args:
        path: Where its bytes are.
        name: What to call it in a message.

    Raises:
        DataError: If it is no image, broken, or larger than ``MAX_PIXELS``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path)
        if image.width * image.height <= MAX_PIXELS:
            image.load()
            return image
        problem = f"it has {image.width} x {image.height}"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        problem = str(error)
    raise DataError(
        f"{name} must be an image of at most {MAX_PIXELS} pixels, and cannot be decoded: "
        f"{problem}. Replace or remove it, then run 'unseen ingest'."
    )


def read_image(path: Path, name: str, channels: int) -> NDArray[np.uint8]:
    """Pixels of an image, (H, W) gray for 1 channel or (3, H, W) colour for 3.

    Raises:
        DataError: If it cannot be decoded.
    """
    return to_pixels(open_image(path, name), name, channels)


def to_pixels(image: Image.Image, name: str, channels: int) -> NDArray[np.uint8]:
    """Pixels of a decoded image, (H, W) gray for 1 channel or (3, H, W) colour for 3.

    Raises:
        DataError: If its pixels are floating point.
    """
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise DataError(
            f"{name} must hold 8 or 16 bits for each channel, got floating point. Convert it."
        )
    return to_channels(image, channels)


def to_channels(image: Image.Image, channels: int) -> NDArray[np.uint8]:
    """Pixels (H, W) for 1 channel, (3, H, W) for 3; transparency is dropped."""
    if channels == 1:
        if image.mode not in ("L", "RGB"):
            image = image.convert("RGB")
        return np.asarray(image.convert("L"))
    return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))


def read_mask(path: Path, name: str) -> NDArray[np.bool_]:
    """Anomalous pixels (H, W) of a mask image: all that are not 0.

    Raises:
        DataError: If it cannot be decoded.
    """
    pixels = np.asarray(open_image(path, name))
    return np.asarray(pixels.any(axis=-1) if pixels.ndim == 3 else pixels != 0)


def count_frames(path: Path, name: str) -> int:
    """Frames of a video file, counted by decoding it, because headers are often wrong.

    Raises:
        DataError: If it is no video.
    """
    total = sum(1 for _ in _grabbed(path, name))
    if not total:
        raise DataError(
            f"{name} must be a video that OpenCV can decode, and holds no frame that it can. "
            "Convert it, for example to numbered PNG frames."
        )
    return total


def read_video(path: Path, name: str, channels: int, wanted: range) -> list[NDArray[np.uint8]]:
    """Frames of a video file at the positions ``wanted`` (step 1), each as ``read_image`` does.

    Raises:
        DataError: If the video ends before.
    """
    frames = []
    for position, capture in enumerate(_grabbed(path, name)):
        if position >= wanted.stop:
            break
        if position >= wanted.start:
            decoded, pixels = capture.retrieve()
            if not decoded:
                break
            frames.append(to_channels(Image.fromarray(pixels[..., ::-1]), channels))
    if len(frames) < len(wanted):
        raise DataError(
            f"{name} must decode up to frame {wanted.stop - 1}, and ends at frame "
            f"{wanted.start + len(frames)}. It is damaged: replace it, then run 'unseen ingest'."
        )
    return frames


def _grabbed(path: Path, name: str) -> Iterator[Any]:
    """The opened video, once for each frame that it can grab."""
    import cv2

    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise DataError(
                f"{name} must be a video that OpenCV can decode, and cannot be opened. Replace "
                "it, or convert it to numbered PNG frames."
            )
        while capture.grab():
            yield capture
    finally:
        capture.release()


def check_sizes(images: Sequence[NDArray[np.generic]], files: Sequence[str]) -> None:
    """Raise unless all images have the size of the first.

    Raises:
        DataError: It names the first file that differs.
    """
    for image, file in zip(images, files, strict=True):
        if image.shape != images[0].shape:
            raise DataError(
                f"All frames of a clip must have one size: {files[0]} is "
                f"{'x'.join(map(str, images[0].shape[-2:]))}, {file} is "
                f"{'x'.join(map(str, image.shape[-2:]))}. Correct it, then run 'unseen ingest'."
            )


def resize_mask(mask: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """The mask at another height and width, by the nearest pixel."""
    rows = (np.arange(size[0]) + 0.5) * mask.shape[0] / size[0]
    columns = (np.arange(size[1]) + 0.5) * mask.shape[1] / size[1]
    return np.asarray(mask[rows.astype(int)[:, None], columns.astype(int)])
