"""From bytes to pixels: the one reader of image files, for training, serving, film and console.

An image is what its bytes say, whatever its name. It is turned as its EXIF orientation says, so
that pixels are those that people see. Transparency is dropped. Channels of more than 8 bits are
scaled by the range of their data version, see ``preprocessing.quantized``.

Shapes: H W = image.
"""

import contextlib
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError, features

from tasks.data import deep_colour, png_chunks
from tasks.packaging.preprocessing import Levels, quantized

FORMATS = (
    *("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF"),
    *(("JPEG2000",) if features.check("jpg_2000") else ()),
    *(("AVIF",) if features.check("avif") else ()),
    *(("HEIF",) if find_spec("pillow_heif") else ()),
)
"""Pillow's names of the formats that are read here."""
MAX_PIXELS = 1 << 26
"""Pixels of the largest image that is decoded, 8192 x 8192; a larger one is a mistake or a bomb."""
PAGED = frozenset({"GIF", "TIFF", "PNG", "WEBP", "AVIF"})
"""Formats whose pages are frames; the others keep previews and views of one picture in them."""
ORIENTATION, BITS_PER_SAMPLE = 274, 258
"""Tags of EXIF and TIFF."""
STARTS = (
    *(png_chunks.SIGNATURE, b"\xff\xd8\xff", b"BM", b"GIF8", b"\xff\x4f\xff\x51"),
    *(b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+", b"\x00\x00\x00\x0cjP  "),
    *(b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"),
)
"""First bytes of images, but for WEBP, AVIF and HEIF, whose name stands at the fifth or ninth."""
BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
"""What a file of AVIF or HEIF says it is."""


class UnreadableError(Exception):
    """Bytes cannot be decoded. The text is the reason, in the decoder's own words."""


class TooManyPixelsError(UnreadableError):
    """An image is larger than is allowed."""


@dataclass(frozen=True)
class Header:
    """What an image file says of itself, before its pixels are decoded."""

    format: str
    """Pillow's name of it, ``PNG``."""
    size: tuple[int, int]
    """Height and width as people see the image, in pixels."""
    bits: int
    """Of one channel: 8, 16, or 32 for floating point and whole numbers of 32 bits."""
    pages: int
    """Pictures in the file that follow each other: 1 unless it is animated or has many pages."""


def header(source: Path | bytes, max_pixels: int = MAX_PIXELS) -> Header:
    """Read the header of an image file; it raises as ``opened`` does."""
    with opened(source, max_pixels) as image:
        return header_of(image)


def header_of(image: Image.Image, most_pages: int = 1 << 20) -> Header:
    """The header of an image that ``opened`` has opened.

    Args:
        image: Of which no pixel is decoded yet.
        most_pages: Beyond which they are not counted.

    Raises:
        UnreadableError: If its pages cannot be counted.
    """
    turned = _orientation(image) > 4 and image.format != "TIFF"  # which Pillow turns by itself
    size = (image.width, image.height) if turned else (image.height, image.width)
    return Header(image.format or "", size, _bits(image), _pages(image, most_pages))


def is_image(start: bytes) -> bool:
    """Whether the first 16 bytes of a file are those of an image that is read here, or may be."""
    webp = start.startswith(b"RIFF") and start[8:12] == b"WEBP"
    branded = start[4:8] == b"ftyp" and start[8:12] in BRANDS
    return webp or branded or start.startswith(STARTS)


def quick_header(path: Path) -> tuple[int, int]:
    """Bits of a channel and pages of an image file; 8 and 1 if it is none.

    The first bytes tell most of it: a set of 60,000 images takes seconds.
    """
    with path.open("rb") as file:
        start = file.read(4096)
    shallow = start.startswith((b"\xff\xd8", b"BM"))
    if start.startswith(png_chunks.SIGNATURE):
        shallow = start[24:25] != b"\x10" and b"acTL" not in start
    elif start.startswith(b"RIFF"):
        shallow = start[12:16] != b"VP8X" or not start[20] & 2
    if shallow:
        return 8, 1
    with contextlib.suppress(UnreadableError):
        found = header(path)
        return found.bits, found.pages
    return 8, 1


def opened(source: Path | bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """An image with its header read and no pixel decoded.

    Args:
        source: The file or its content.
        max_pixels: Most pixels of an image.

    Raises:
        UnreadableError: If it is no image, or its header is damaged.
        TooManyPixelsError: If it is larger than allowed.
    """
    _register()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = BytesIO(source) if isinstance(source, bytes) else source
            image = Image.open(file, formats=FORMATS)
            if isinstance(source, Path) and image.format == "TIFF" and _orientation(image) > 4:
                image.close()  # Pillow 13 garbles it where it maps the file into memory
                image = Image.open(BytesIO(source.read_bytes()), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError(f"{error}".rstrip(".")) from error
    except UnidentifiedImageError as error:
        raise UnreadableError(_unidentified(source)) from error
    except Exception as error:  # damaged bytes raise whatever Pillow's parsers stumble over
        raise UnreadableError(_words(error)) from error
    if image.width * image.height > max_pixels:
        raise TooManyPixelsError(
            f"its {image.width} x {image.height} pixels are above the limit of {max_pixels}"
        )
    return image


def read(
    source: Path | bytes, channels: int, levels: Levels | None = None, page: int = 0
) -> NDArray[np.uint8]:
    """Pixels of an image, (H, W) gray for 1 channel or (3, H, W) colour for 3.

    Args:
        source: The file or its content.
        channels: 1 or 3.
        levels: Range of channels of more than 8 bits; None keeps the upper byte of 16 bits.
        page: Of a file that has several.

    Raises:
        UnreadableError: If it cannot be decoded.
    """
    with opened(source) as image:
        return to_channels(decoded(image, source, page), channels, levels)


def decoded(
    image: Image.Image, source: Path | bytes, page: int = 0
) -> Image.Image | NDArray[np.generic]:
    """What an opened image shows: a Pillow image of 8 bits; an array (H, W) or (H, W, 3) of more.

    Args:
        image: From ``opened``, of ``source``.
        source: The file or its content.
        page: Of a file that has several.

    Raises:
        UnreadableError: If it cannot be decoded.
    """
    bits = _bits(image)
    try:
        if image.format == "PNG":
            png_chunks.check(_content(source))
        if page:
            image.seek(page)
        if bits == 8:
            image.load()
            return ImageOps.exif_transpose(image)
        return _deep(image, source, page)
    except UnreadableError:
        raise
    except Exception as error:  # as above
        raise UnreadableError(_words(error)) from error


def to_channels(
    picture: Image.Image | NDArray[np.generic], channels: int, levels: Levels | None = None
) -> NDArray[np.uint8]:
    """Pixels (H, W) for 1 channel, (3, H, W) for 3, of what ``decoded`` has returned.

    Raises:
        UnreadableError: If it is floating point and no range is known.
    """
    if not isinstance(picture, Image.Image):
        try:
            picture = Image.fromarray(quantized(picture, levels))
        except ValueError as error:
            raise UnreadableError(str(error)) from error
    if channels == 1:
        gray = picture if picture.mode in {"L", "RGB"} else picture.convert("RGB")
        return np.asarray(gray.convert("L"))
    return np.ascontiguousarray(np.asarray(picture.convert("RGB")).transpose(2, 0, 1))


def _deep(image: Image.Image, source: Path | bytes, page: int) -> NDArray[np.generic]:
    """Channels of more than 8 bits; Pillow cuts those of colour images, and OpenCV does not."""
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        image.load()
        values = np.asarray(ImageOps.exif_transpose(image))
    else:
        if (found := deep_colour.read(_content(source), page)) is None:
            raise UnreadableError("OpenCV cannot decode its channels of more than 8 bits")
        values = found
        if image.format != "TIFF":
            image.load()  # a PNG file may tell its orientation behind its pixels
            values = deep_colour.turned(values, _orientation(image))
    if not np.isfinite(values).all():
        raise UnreadableError("it holds floating point pixels that are no finite numbers")
    return values


def _orientation(image: Image.Image) -> int:
    if image.format == "PNG" and image.tile and "exif" not in image.info:  # type: ignore[attr-defined]
        return 1  # to ask for it would decode the image
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged tag is none
        return 1
    return found if found in range(1, 9) else 1


def _bits(image: Image.Image) -> int:
    if image.mode in {"I", "F"}:
        return 16 if image.format in {"PNG", "PPM"} else 32
    if image.mode.startswith("I;16"):
        return 16
    if image.format == "PNG":
        modes = {str(tile.args) for tile in image.tile}  # type: ignore[attr-defined]
        return 16 if any(";16" in mode for mode in modes) else 8
    tags: Any = getattr(image, "tag_v2", {})
    return 8 if max(tags.get(BITS_PER_SAMPLE, (8,))) <= 8 else max(tags[BITS_PER_SAMPLE])


def _pages(image: Image.Image, most: int) -> int:
    if image.format not in PAGED:
        return 1
    try:
        if image.format in {"PNG", "WEBP", "AVIF"}:
            return int(getattr(image, "n_frames", 1))
        count = 1  # Pillow would look for the last of millions of pages
        with contextlib.suppress(EOFError):
            while count < most:
                image.seek(count)
                count += 1
        image.seek(0)
    except Exception as error:  # as in opened
        raise UnreadableError(_words(error)) from error
    return count


def _unidentified(source: Path | bytes) -> str:
    """Why Pillow did not find out what a file is."""
    content = _content(source)
    if content.startswith(png_chunks.SIGNATURE):
        try:
            png_chunks.check(content)
        except ValueError as error:
            return str(error)
    if content and not is_image(content[:16]):
        return "its first bytes are those of no image that is read here"
    return "it begins as an image, and the rest is damaged or missing" if content else "it is empty"


def _content(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def _words(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


@cache
def _register() -> None:
    if "HEIF" in FORMATS:
        from pillow_heif import register_heif_opener

        register_heif_opener()
