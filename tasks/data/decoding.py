"""The files of a data version, decoded: every failure is a DataError that names the file.

What is read here was promised by a data version; ``images``, ``videos`` and ``masks`` read it.

Shapes: H W = image, T = frames.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError
from tasks.data import images, masks, videos
from tasks.data.images import UnreadableError
from tasks.packaging.preprocessing import Levels


def read_image(
    path: Path, name: str, channels: int, levels: Levels | None = None
) -> NDArray[np.uint8]:
    """Pixels of an image, (H, W) gray for 1 channel or (3, H, W) colour for 3.

    Args:
        path: Where its bytes are.
        name: What to call it in a message.
        channels: 1 or 3.
        levels: Range of channels of more than 8 bits.

    Raises:
        DataError: If it cannot be decoded.
    """
    with named(name, f"an image of at most {images.MAX_PIXELS} pixels"):
        return images.read(path, channels, levels)


def read_mask(path: Path, name: str) -> NDArray[np.bool_]:
    """Marked pixels (H, W) of a mask; see ``masks.read``.

    Raises:
        DataError: If it cannot be decoded.
    """
    with named(name, "an image that marks pixels"):
        return masks.read(path).marked


def count_frames(path: Path, name: str) -> int:
    """Frames of a video, counted by decoding it.

    Raises:
        DataError: If it is no video, or ends before its header says.
    """
    with named(name, "a whole video that OpenCV can decode"):
        return videos.count_frames(path)


def read_video(
    path: Path, name: str, channels: int, wanted: range, levels: Levels | None = None
) -> list[NDArray[np.uint8]]:
    """Frames of a video at the positions ``wanted`` (step 1), each as ``read_image`` does.

    Raises:
        DataError: If it cannot be decoded, or ends before.
    """
    with named(name, "a whole video that OpenCV can decode"):
        frames = list(videos.read(path, channels, wanted, levels))
        if len(frames) < len(wanted):
            raise UnreadableError(
                f"frame {wanted.stop - 1} is wanted, and it ends after "
                f"{wanted.start + len(frames)} frames"
            )
    return frames


@contextmanager
def named(name: str, what: str) -> Iterator[None]:
    """Turn the reason why bytes cannot be decoded into an error that names their file.

    Args:
        name: Of the file.
        what: It must be.

    Raises:
        DataError: If something in the block is unreadable.
    """
    try:
        yield
    except UnreadableError as error:
        raise DataError(
            f"{name} must be {what}, and cannot be decoded: {error}. Replace or remove it, then "
            "run 'unseen ingest'."
        ) from error


def read_labels(path: Path, name: str, num_frames: int) -> NDArray[np.bool_]:
    """Which frames (T,) of a clip a label file calls anomalous.

    It holds a 0 or 1 for each frame, 0.0 and 1.0 too, between commas, semicolons, spaces or line
    ends, in UTF-8 or UTF-16.

    Args:
        path: Where its bytes are.
        name: What to call it in a message.
        num_frames: Of its clip.

    Raises:
        DataError: If it holds something else, or another number of values.
    """
    words = _text(path.read_bytes()).replace(",", " ").replace(";", " ").split()
    known = {"0": False, "1": True, "0.0": False, "1.0": True, "0.": False, "1.": True}
    strange = next((word for word in words if word not in known), None)
    if strange is not None or len(words) != num_frames:
        found = f"{len(words)} values" if strange is None else f"the value {strange[:20]!r}"
        reason = f"it must hold a 0 or 1 for each of the {num_frames} frames of its clip"
        raise DataError(
            f"{name} must hold a 0 or 1 for each of the {num_frames} frames of its clip, got "
            f"{found}. Correct it, then run 'unseen ingest'."
        ) from UnreadableError(f"{reason}, got {found}")
    return np.array([known[word] for word in words], dtype=bool)


def _text(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    if b"\x00" in content[:2]:  # UTF-16 without a mark: every second byte of a digit is 0
        big = content[:1] == b"\x00"
        return content.decode("utf-16-be" if big else "utf-16-le", "replace")
    return content.decode("utf-8-sig", "replace")


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
