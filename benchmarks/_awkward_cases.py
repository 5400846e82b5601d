"""Awkward files of still images: each is read rightly, or refused for the right reason."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from benchmarks import _awkward_pictures as pictures
from benchmarks._awkward_pictures import KIND, bomb, damaged_png, write, write_deep, write_set

READ, INGEST, VALIDATION = "read", "refused by ingest", "refused by validation"


@dataclass(frozen=True)
class Case:
    """One awkward input."""

    name: str
    make: Callable[[Path], object]
    """Writes the set into a folder."""
    outcome: str = READ
    words: str = ""
    """In the error if it is refused, else in the warnings; empty if nothing need be said."""
    clips: bool = False
    tolerance: int = 1
    """Gray levels by which pixels may differ from what was written; JPEG changes more."""
    normal_only: bool = False
    """The recipe says that nothing is measured."""
    separable: bool = True
    """What is called anomalous is, so that it must rank first."""
    inside: bool = False
    """It is made in ``data/`` itself, where the set without faults lies, and makes no new version.
    """
    logged: bool = False
    """Through the tasks of a retrain themselves; else what they do to the images, and no logging.
    """


def encodings() -> Iterator[Case]:
    """Formats, modes, orientations and depths."""
    kinds = ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF"]
    kinds += ["JPEG2000"] * features.check("jpg_2000") + ["AVIF"] * features.check("avif")
    modes = {
        "PNG": ("L", "RGB", "RGBA", "LA", "P"),
        "TIFF": ("L", "RGB", "RGBA", "LA", "P", "CMYK"),
        "JPEG": ("L", "RGB", "CMYK"),
        "BMP": ("L", "RGB", "P"),
        "GIF": ("L", "P"),
    }
    for kind in kinds:
        for mode in modes.get(kind, ("L", "RGB")):
            if (kind, mode) in {("WEBP", "L"), ("AVIF", "L")}:
                continue
            yield _encoded(kind, mode, 1)
    for kind, turned in product(("PNG", "JPEG", "TIFF", "WEBP"), range(2, 9)):
        yield _encoded(kind, "RGB" if kind == "WEBP" else "L", turned)
    for suffix, bits, colour in product((".png", ".tif"), (8, 10, 12, 14, 16), (False, True)):
        white = 2.0**bits - 1
        name = f"{bits} bits in 16, {suffix}{', colour' if colour else ''}"
        yield Case(name, _deep(suffix, white, colour=colour), words="images_have_8_bits")
    for white in (1.0, 254.5):
        words = "images_have_8_bits"
        yield Case(f"floating point up to {white:g}", _deep(".tif", white), words=words)


def _encoded(kind: str, mode: str, turned: int) -> Case:
    def put(path: Path, shown: pictures.Pixels) -> object:
        return write(path, shown, kind, mode, turned)

    tolerance = pictures.LOSSY.get(kind, 1)
    name = f"{kind} {mode}, orientation {turned}"
    return Case(name, lambda folder: write_set(folder, put), tolerance=tolerance)


def _deep(suffix: str, white: float, *, colour: bool = False) -> Callable[[Path], object]:
    def put(path: Path, shown: pictures.Pixels) -> object:
        return write_deep(path.with_name(path.name + suffix), shown, white, colour=colour)

    return lambda folder: write_set(folder, put)


def mask_cases() -> Iterator[Case]:
    """Masks in every mode, and masks that cannot be meant."""
    for mode in ("1", "L", "RGB", "RGBA", "LA", "P"):
        yield Case(f"mask {mode}", _masked(lambda m, mode=mode: mask_in_mode(m, mode)))

    def inverted(marked: NDArray[np.bool_]) -> Image.Image:
        image = Image.fromarray((~marked).astype(np.uint8), mode="P")
        image.putpalette([255] * 3 + [0] * 3)
        return image

    yield Case("mask P, white first", _masked(inverted))
    yield Case("mask of 0 and 1", _masked(lambda m: Image.fromarray(m.astype(np.uint8))))
    yield Case("mask of 16 bits", _masked(lambda m: Image.fromarray(m.astype(np.uint16) * 65535)))
    yield Case(
        "mask in red",
        _masked(lambda m: Image.fromarray(np.dstack([m * 255, m * 0, m * 0]).astype(np.uint8))),
    )
    for suffix in (".bmp", ".tif", ".gif", ".webp"):
        yield Case(f"mask {suffix}", _masked(lambda m: mask_in_mode(m, "RGB"), suffix))
    yield Case(
        "mask JPEG", _masked(lambda m: mask_in_mode(m, "L"), ".jpg"), words="masks_are_plausible"
    )
    full = _masked(lambda m: Image.fromarray(np.full(m.shape, 255, np.uint8)))
    yield Case("mask that marks everything", full, VALIDATION, "marks every pixel")
    opaque = _masked(lambda m: Image.merge("LA", [Image.new("L", m.shape[::-1], 255)] * 2))
    yield Case("mask LA that marks everything", opaque, VALIDATION, "marks every pixel")
    small = _masked(lambda m: Image.fromarray(m[::2, ::2]))
    yield Case("mask of half the size", small, VALIDATION, "masks_fit_their_images")
    yield edited("mask of a normal image", _normal_mask, words="normal image")
    yield edited("orphaned mask", _orphan, VALIDATION, "no_orphaned_ground_truth")
    yield edited("table in ground_truth", _table, VALIDATION, "ground_truth_is_understood")
    yield edited("mask that is no image", _broken_mask, VALIDATION, "no image")
    yield edited("one mask missing", _lacking_mask, VALIDATION, "ground_truth_is_complete")


def mask_in_mode(marked: NDArray[np.bool_], mode: str) -> Image.Image:
    """A mask in one of Pillow's modes."""
    if mode == "1":
        return Image.fromarray(marked)
    return pictures.in_mode(marked.astype(np.uint8) * 255, mode)


def _masked(
    draw: Callable[[NDArray[np.bool_]], Image.Image], suffix: str = ".png"
) -> Callable[[Path], object]:
    def put(path: Path, marked: NDArray[np.bool_]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = {".jpg": {"quality": 90}, ".webp": {"lossless": True}}.get(
            suffix, {}
        )
        draw(marked).save(path.with_name(path.name + suffix), **options)

    return lambda folder: write_set(folder, put_mask=put)


def _normal_mask(folder: Path) -> None:
    write(folder / "ground_truth/good/0_mask", pictures.mask().astype(np.uint8) * 255)


def _orphan(folder: Path) -> None:
    write(folder / f"ground_truth/{KIND}/77_mask", pictures.mask().astype(np.uint8) * 255)


def _table(folder: Path) -> None:
    (folder / f"ground_truth/{KIND}/boxes.csv").write_text("0,1,2,3")


def _broken_mask(folder: Path) -> None:
    (folder / f"ground_truth/{KIND}/0_mask.png").write_text("no mask")


def _lacking_mask(folder: Path) -> None:
    (folder / f"ground_truth/{KIND}/0_mask.png").unlink()


def edited(
    name: str, edit: Callable[[Path], object], outcome: str = READ, words: str = "", **more: Any
) -> Case:
    """A case that begins with a set without a fault."""
    return Case(name, lambda folder: edit(write_set(folder)), outcome, words, **more)


def damaged_cases() -> Iterator[Case]:
    """Files that are not what they say, in each split: refused with the decoder's own words."""
    reasons = {
        "wrong CRC": (damaged_png, "CRC"),
        "empty": (lambda path: path.write_bytes(b""), "it is empty"),
        "text": (lambda path: path.write_text("no image"), "of no image that is read here"),
        "bomb": (bomb, "3600000000 pixels"),
        "archive": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(50)), "of no image"),
        "not finite": (_not_finite, "no finite numbers"),
    }
    for (name, (spoil, words)), place in product(reasons.items(), ("train/good", f"test/{KIND}")):
        yield edited(
            f"{name} in {place}",
            lambda folder, spoil=spoil, place=place: spoil(folder / place / "1.png"),
            VALIDATION,
            words,
        )
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM"):
        yield edited(
            f"{kind} cut short",
            lambda folder, kind=kind: _cut(folder, kind),
            VALIDATION,
            "every_file_decodes",
        )


def _not_finite(path: Path) -> None:
    path.unlink()
    values = np.full((pictures.HEIGHT, pictures.WIDTH), np.nan, np.float32)
    Image.fromarray(values).save(path.with_suffix(".tif"))


def _cut(folder: Path, kind: str) -> None:
    (folder / "train/good/1.png").unlink()
    path = write(folder / "train/good/1", pictures.picture(1), kind, "RGB")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
