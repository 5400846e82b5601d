"""What the awkward inputs show, and how it is written: pictures known pixel by pixel.

Shapes: H W = image.
"""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.data.images import ORIENTATION

Pixels: TypeAlias = NDArray[np.uint8]
HEIGHT, WIDTH = 40, 56
NUM_TRAIN, NUM_TEST = 12, 3
MARK = (slice(8, 22), slice(30, 48))
"""Where the anomaly is."""
KIND = "cut"
SUFFIXES = {"JPEG": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
    "JPEG2000": {"irreversible": False},
    "AVIF": {"quality": 95},
}
"""Of Pillow's encoders."""
LOSSY = {"JPEG": 12, "AVIF": 12}
"""Gray levels that a format may change."""
UNTURNED: dict[int, Callable[[Any], Any]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: np.rot90,
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a, -1),
}
"""The pixels to store so that a viewer, who heeds the EXIF orientation, shows the given ones."""


def picture(seed: int, *, anomalous: bool = False) -> Pixels:
    """Smooth gray noise (H, W) between 60 and 140; the anomaly is a bright box."""
    noise = np.random.default_rng(seed).normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    shown = np.clip(100 + 25 * smooth / np.abs(smooth).max(), 0, 255).astype(np.uint8)
    if anomalous:
        shown[MARK] = 230
    return shown


def mask() -> NDArray[np.bool_]:
    """Where the anomaly is, (H, W)."""
    marked = np.zeros((HEIGHT, WIDTH), bool)
    marked[MARK] = True
    return marked


def in_mode(shown: Pixels, mode: str) -> Image.Image:
    """A gray picture in one of Pillow's modes, so that it looks the same."""
    gray = Image.fromarray(shown)
    if mode == "LA":
        return Image.merge("LA", [gray, Image.fromarray(np.full_like(shown, 90))])
    if mode == "RGBA":
        opaque = Image.fromarray(np.full_like(shown, 255))
        return Image.merge("RGBA", [gray, gray, gray, opaque])
    if mode == "P":
        order = np.random.default_rng(0).permutation(256).astype(np.uint8)
        image = Image.fromarray(np.argsort(order).astype(np.uint8)[shown], mode="P")
        image.putpalette(np.repeat(order, 3).tolist())
        return image
    return gray if mode == "L" else gray.convert(mode)


def write(path: Path, shown: Pixels, kind: str = "PNG", mode: str = "L", turned: int = 1) -> Path:
    """Write a picture as people see it, in a format, a mode and an EXIF orientation.

    Args:
        path: Without the right suffix.
        shown: (H, W).
        kind: Pillow's name of the format.
        mode: Pillow's name of the mode.
        turned: EXIF orientation, 1 to 8.

    Returns:
        The file, with the suffix of its format.
    """
    path = path.with_name(path.name + SUFFIXES.get(kind, f".{kind.lower()}"))
    path.parent.mkdir(parents=True, exist_ok=True)
    image = in_mode(np.ascontiguousarray(UNTURNED[turned](shown)), mode)
    options = dict(OPTIONS.get(kind, {}))
    if turned > 1:
        exif = Image.Exif()
        exif[ORIENTATION] = turned
        options["exif"] = exif
    image.save(path, kind, **options)
    return path


def write_deep(path: Path, shown: Pixels, white: float, *, colour: bool = False) -> Path:
    """Write a picture with 255 at ``white``, in 16 bits, or in floating point if it is no integer.

    Args:
        path: With its suffix.
        shown: (H, W).
        white: Value of 255.
        colour: In three channels.
    """
    kind = np.uint16 if float(white).is_integer() and white > 1 else np.float32
    values = (shown.astype(np.float64) * white / 255).astype(kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.dstack([values] * 3) if colour else values
    path.write_bytes(cv2.imencode(path.suffix, stored)[1].tobytes())
    return path


def write_set(
    folder: Path,
    put: Callable[[Path, Pixels], object] | None = None,
    put_mask: Callable[[Path, NDArray[np.bool_]], object] | None = None,
) -> Path:
    """A set of still images.

    Args:
        folder: To be made.
        put: Writes one picture to a path without suffix; PNG if None.
        put_mask: The same for masks.
    """
    put = put or write
    put_mask = put_mask or (lambda path, marked: write(path, marked.astype(np.uint8) * 255))
    for index in range(NUM_TRAIN):
        put(folder / f"train/good/{index}", picture(index))
    for index in range(NUM_TEST):
        put(folder / f"test/good/{index}", picture(100 + index))
        put(folder / f"test/{KIND}/{index}", picture(200 + index, anomalous=True))
        put_mask(folder / f"ground_truth/{KIND}/{index}_mask", mask())
    return folder


def write_clips(folder: Path, put: Callable[[Path, Pixels], object] | None = None) -> Path:
    """A set of clips of eight frames, of which a quarter of each anomalous one is anomalous."""
    put = put or write
    for clip in range(4):
        for frame in range(8):
            put(folder / f"train/good/{clip}/{frame}", picture(10 * clip + frame))
    for frame in range(8):
        put(folder / f"test/good/0/{frame}", picture(300 + frame))
        put(folder / f"test/{KIND}/0/{frame}", picture(400 + frame, anomalous=frame in (3, 4)))
    labels = folder / f"ground_truth/{KIND}/0.txt"
    labels.parent.mkdir(parents=True)
    labels.write_text("\n".join(str(int(frame in (3, 4))) for frame in range(8)))
    return folder


def damaged_png(path: Path) -> None:
    """Flip a bit of the pixels, and leave the CRC as it was."""
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 20] ^= 4
    path.write_bytes(content)


def bomb(path: Path) -> None:
    """A PNG of a hundred bytes that says it has 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(60_001)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))
