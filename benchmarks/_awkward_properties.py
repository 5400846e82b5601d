"""Combinations that nobody thought of: Hypothesis draws how a picture and its mask are written."""

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import _awkward_pictures as pictures
from benchmarks._awkward_cases import mask_in_mode
from tasks.data import layout, value_range
from tasks.data.images import UnreadableError, read
from tasks.data.masks import read as read_mask
from tasks.packaging.preprocessing import Preprocessing
from tasks.serving import uploads
from tasks.serving.uploads import Limits

WAYS = [("PNG", mode) for mode in ("L", "RGB", "RGBA", "LA", "P")]
WAYS += [("TIFF", mode) for mode in ("L", "RGB", "RGBA", "P")] + [("WEBP", "RGB")]
WAYS += [("BMP", "L"), ("BMP", "RGB"), ("PPM", "L"), ("PPM", "RGB"), ("GIF", "L"), ("JPEG", "L")]
TURNED = {"PNG", "TIFF", "WEBP", "JPEG"}
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60)


def examples(count: int, folder: Path) -> list[str]:
    """Draw examples; what is misread, in words.

    Args:
        count: Of each property.
        folder: For their files.
    """
    faults: list[str] = []
    options = settings(
        max_examples=count, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    for asked in (_a_picture_is_read_as_shown, _damage_is_refused_or_harmless, _a_name_has_a_place):
        try:
            options(asked(folder))()
        except Exception as error:  # an example that fails is what is looked for
            faults.append(f"{asked.__name__}: {error!r}"[:500])
    return faults


def _a_picture_is_read_as_shown(folder: Path):  # type: ignore[no-untyped-def]
    @given(
        way=st.sampled_from(WAYS),
        turned=st.integers(1, 8),
        seed=st.integers(0, 2**20),
        deep=st.sampled_from([0, 0, 0, 9, 10, 12, 13, 16]),
        marked=st.sampled_from(["1", "L", "RGB", "RGBA", "LA", "P"]),
    )
    def holds(way: tuple[str, str], turned: int, seed: int, deep: int, marked: str) -> None:
        kind, mode = way
        shutil.rmtree(folder, ignore_errors=True)
        shown = pictures.picture(seed, anomalous=True)
        if deep:
            path = folder / f"{seed} {deep}.png"  # a range is remembered by path
            pictures.write_deep(path, shown, 2.0**deep - 1, colour=seed % 2 == 1)
        else:
            path = pictures.write(folder / "a", shown, kind, mode, turned if kind in TURNED else 1)
        levels = value_range.find((path,)) if deep else None
        found = read(path, 1, levels).astype(int)
        if deep in {9, 13}:  # which no camera has: white is that of the next depth, as documented
            shown = shown * (2.0**deep - 1) / (2.0 ** (deep + 1) - 1)
        assert found.shape == shown.shape
        assert np.abs(found - shown).max() <= pictures.LOSSY.get(kind, 1) + (2 if deep else 0)
        served = uploads.read_frames(
            [path.read_bytes()], how=Preprocessing(levels=levels), limits=Limits()
        )
        assert np.array_equal(served.frames[0], found)
        mask_in_mode(pictures.mask(), marked).save(folder / "m.png")
        assert np.array_equal(read_mask(folder / "m.png").marked, pictures.mask())

    return holds


def _damage_is_refused_or_harmless(folder: Path):  # type: ignore[no-untyped-def]
    """A PNG of which one bit is wrong is refused, wherever the bit is."""

    @given(place=st.integers(0, 10**6), bit=st.integers(0, 7), seed=st.integers(0, 9))
    def holds(place: int, bit: int, seed: int) -> None:
        path = pictures.write(folder / f"d{seed}", pictures.picture(seed))
        content = bytearray(path.read_bytes())
        content[place % len(content)] ^= 1 << bit
        try:
            read(bytes(content), 1)
            told = f"bit {bit} of byte {place % len(content)} was flipped unnoticed"
        except UnreadableError as error:
            told = "" if len(str(error)) > 5 else "no reason is told"
        assert not told, told

    return holds


def _a_name_has_a_place(_: Path):  # type: ignore[no-untyped-def]
    @given(names=st.lists(NAMES, min_size=1, max_size=9))
    def holds(names: list[str]) -> None:
        for name in names:
            assert layout.place(f"train/good/{name}.png").role == "image"
        ordered = sorted(set(names), key=layout.natural)
        numbers = layout.numbers(ordered)
        assert len(numbers) == len(ordered)
        assert all(low < high for low, high in pairwise(numbers))

    return holds
