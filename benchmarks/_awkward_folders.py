"""Awkward folders of still images: names, noise, links, duplicates, and several things at once."""

import os
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from numpy.typing import NDArray

from benchmarks import _awkward_pictures as pictures
from benchmarks._awkward_cases import INGEST, READ, VALIDATION, Case, edited, mask_in_mode
from benchmarks._awkward_pictures import KIND, write, write_set


def name_cases() -> Iterator[Case]:
    """Names that tools stumble over: kept as they are, or refused before anything is copied."""
    names = (
        "[a]",
        "[bold]",
        "[bold]x[i]",
        "$^_$",
        "a b",
        "ä ß 雪",
        "%s",
        "a'b\"",
        "#x",
        "a;b",
        "~",
        "-r",
        ":smile:",
        "x" * 251,
        "a,b",
        "{0}",
        "\\frac{$",
        "1.2.3",
    )
    for name in names:
        yield edited(f"image called {name[:12]!r}", lambda folder, name=name: _rename(folder, name))
    for kind in ("[red]", "$x^$", "größe", "a b"):
        yield edited(
            f"kind called {kind!r}",
            lambda folder, kind=kind: _rename_kind(folder, kind),
            logged="$" in kind,
        )
    yield edited(
        "images and masks of another spelling",
        lambda f: [
            (f / folder / f"0{more}.png").rename(f / folder / f"{name}{more}.png")
            for folder, name, more in (
                (f"test/{KIND}", "\u00fc", ""),
                (f"ground_truth/{KIND}", "u\u0308", "_mask"),
            )
        ],
    )
    for raw in (b"\xff\xfe", b"a\nb", b"a\x1b[31m", b"\xc3\x28"):
        yield edited(
            f"image called {raw!r}",
            lambda folder, raw=raw: _rename(folder, os.fsdecode(raw)),
            INGEST,
            "must be printable UTF-8",
        )


def _rename(folder: Path, name: str) -> None:
    for place in ("train/good", f"test/{KIND}"):
        (folder / place / "0.png").rename(folder / place / f"{name}.png")
    if len(name) < 200:
        truth = folder / f"ground_truth/{KIND}"
        (truth / "0_mask.png").rename(truth / f"{name}_mask.png")
    else:
        (folder / f"ground_truth/{KIND}/0_mask.png").rename(
            folder / f"ground_truth/{KIND}/{name}.png"
        )


def _rename_kind(folder: Path, kind: str) -> None:
    for top in ("test", "ground_truth"):
        (folder / top / KIND).rename(folder / top / kind)


def layout_cases() -> Iterator[Case]:
    """Folders as people have them: noise, texts, links, and images where none belong."""
    for noise, place in product(
        (".DS_Store", "._1.png", "Thumbs.db", "desktop.ini"), ("", "train/good/")
    ):
        yield edited(f"{place}{noise}", lambda f, path=place + noise: (f / path).write_text("left"))
    for path in (
        "@eaDir/1.png",
        "train/@eaDir/1.png",
        "__MACOSX/train/good/1.png",
        "readme.txt",
        "license.txt",
        "README.md",
    ):
        yield edited(path, lambda folder, path=path: _text(folder / path))
    warned = {
        "image in the root": ("overview", "images belong in train/good/"),
        "image in train itself": ("train/9", "it lies in train/ itself"),
        "kind ok": ("test/ok/9", "the kind 'ok' counts as anomalous"),
        "masks instead of ground_truth": ("masks/cut/9", "is it 'ground_truth'?"),
        "kind Good in test": ("test/Good/9", "the kind 'Good' counts as anomalous"),
    }
    for name, (path, words) in warned.items():
        yield edited(
            name,
            lambda f, path=path: write(f / path, pictures.picture(900)),
            words=words,
            separable="kind" not in name,
        )
    yield edited(
        "HEIC beside the others",
        lambda f: _text(f / "train/good/9.heic"),
        words="no library here reads .heic",
    )
    yield edited(
        "text beside images", lambda f: _text(f / "train/good/notes.txt"), words=".txt is no image"
    )


def inside_cases() -> Iterator[Case]:
    """What people leave and link in ``data/`` itself."""
    for noise in (".DS_Store", "._0.png", "Thumbs.db", "desktop.ini", "@eaDir/0.png"):
        yield Case(
            f"{noise} in data/",
            lambda folder, noise=noise: _text(folder / "train/good" / noise),
            inside=True,
        )
    yield Case("a text beside the sets", lambda f: _text(f.parent / "readme.txt"), inside=True)
    yield Case(
        "a picture beside the sets",
        lambda f: write(f.parent / "a", pictures.picture(900)),
        inside=True,
    )
    for place in ("train/good", f"ground_truth/{KIND}", "test", f"test/{KIND}/0.png"):
        yield Case(
            f"{place} is a link in data/", lambda f, place=place: _link(f, place), inside=True
        )
    yield Case(
        "broken link in data/",
        lambda f: (f / "train/good/99.png").symlink_to(f / "nowhere"),
        INGEST,
        "broken link",
        inside=True,
    )
    yield Case(
        "loop of links in data/",
        lambda f: (f / "test/again").symlink_to(f),
        INGEST,
        "back to a folder above",
        inside=True,
    )


def split_cases() -> Iterator[Case]:
    """Splits that lack something, names that occur twice, and a region of interest."""
    capital = lambda f: write(f / "train/Good/9", pictures.picture(900))  # noqa: E731
    yield edited("kind Good in train", capital, VALIDATION, "train_is_normal")
    yield edited(
        "no train", lambda f: shutil.rmtree(f / "train"), INGEST, "no image or video in train/good/"
    )
    yield edited(
        "train called Train", lambda f: (f / "train").rename(f / "Train"), INGEST, "Train/good"
    )
    yield edited("no test", _without_test, VALIDATION, "enough_test_images")
    yield edited("no test, nothing is measured", _without_test, normal_only=True)
    yield edited("only normal images in test", _without_anomalies, normal_only=True)
    yield edited(
        "two of one name",
        lambda f: write(f / "train/good/1", pictures.picture(901), "BMP"),
        VALIDATION,
        "names_are_unique",
    )
    yield edited(
        "suffix in capitals", lambda f: (f / "train/good/1.png").rename(f / "train/good/1.PNG")
    )
    yield edited(
        "JPEG called PNG",
        lambda f: write(f / "x", pictures.picture(1), "JPEG").replace(f / "train/good/1.png"),
        tolerance=12,
    )
    for roi, outcome, words in (
        ("marked", READ, ""),
        ("empty", VALIDATION, "marks no pixel"),
        ("small", VALIDATION, "roi_fits_all_images"),
    ):
        yield edited(f"region of interest, {roi}", lambda f, roi=roi: _roi(f, roi), outcome, words)


def _text(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("text")


def _without_test(folder: Path) -> None:
    shutil.rmtree(folder / "test")
    shutil.rmtree(folder / "ground_truth")


def _without_anomalies(folder: Path) -> None:
    shutil.rmtree(folder / f"test/{KIND}")
    shutil.rmtree(folder / "ground_truth")


def _roi(folder: Path, roi: str) -> None:
    marked = pictures.mask().astype(np.uint8) * 255
    shown = {"marked": marked, "empty": marked * 0, "small": marked[::2]}[roi]
    write(folder / "roi", np.ascontiguousarray(shown))


def link_cases() -> Iterator[Case]:
    """Links are followed; loops and broken ones are named."""
    for place in (
        "train/good",
        f"test/{KIND}",
        "ground_truth",
        f"ground_truth/{KIND}",
        "train",
        "train/good/1.png",
    ):
        yield edited(f"{place} is a link", lambda folder, place=place: _link(folder, place))
    yield edited(
        "loop of links",
        lambda f: (f / "test/again").symlink_to(f),
        INGEST,
        "back to a folder above",
    )
    yield edited(
        "broken link",
        lambda f: (f / "test/good/9.png").symlink_to(f / "nowhere"),
        INGEST,
        "broken link",
    )
    yield edited("pipe", lambda f: os.mkfifo(f / "train/good/99.png"), INGEST, "neither")


def _link(folder: Path, place: str) -> None:
    elsewhere = Path(mkdtemp(prefix="elsewhere")) / Path(place).name
    shutil.move(folder / place, elsewhere)
    (folder / place).symlink_to(elsewhere)


def duplicate_cases() -> Iterator[Case]:
    """The same picture twice."""
    train, test = pictures.picture(0), pictures.picture(100)
    yield edited(
        "same file in train and test",
        lambda f: shutil.copy(f / "train/good/0.png", f / "test/good/9.png"),
        VALIDATION,
        "train_and_test_are_disjoint",
    )
    yield edited(
        "same picture in train and test",
        lambda f: write(f / "train/good/99", test, "JPEG"),
        words="no_near_duplicates_across_splits",
        tolerance=12,
    )
    yield edited(
        "same picture twice in train",
        lambda f: write(f / "train/good/99", train, "JPEG"),
        words="no_near_duplicates_in_training",
        tolerance=12,
    )
    yield edited(
        "same file twice in train",
        lambda f: shutil.copy(f / "train/good/0.png", f / "train/good/99.png"),
        words="no_near_duplicates_in_training",
    )


def combinations(count: int, seed: int = 0) -> Iterator[Case]:
    """Several awkward things at once, drawn by lot."""
    random = np.random.default_rng(seed)
    for number in range(count):
        kind = str(random.choice(["PNG", "TIFF", "JPEG", "WEBP"]))
        turned, name = int(random.integers(1, 9)), str(random.choice(["[x]", "$", "ü", "0007"]))
        mode = "RGB" if kind == "WEBP" else str(random.choice(["L", "RGB"]))
        mask_mode = str(random.choice(["1", "L", "RGBA", "LA", "P"]))

        def make(
            folder: Path, kind: str = kind, mode: str = mode, turned: int = turned,
            name: str = name, mask_mode: str = mask_mode,
        ) -> None:  # fmt: skip
            def put(path: Path, shown: pictures.Pixels) -> object:
                return write(path.with_name(f"{name}{path.name}"), shown, kind, mode, turned)

            def put_mask(path: Path, marked: NDArray[np.bool_]) -> None:
                path.parent.mkdir(parents=True, exist_ok=True)
                mask_in_mode(marked, mask_mode).save(path.with_name(f"{name}{path.name}.png"))

            write_set(folder, put, put_mask)
            (folder / ".DS_Store").write_text("left")
            (folder / "readme.txt").write_text("about")

        tolerance = pictures.LOSSY.get(kind, 1)
        yield Case(f"lot {number}: {kind} {mode} {turned} {name}", make, tolerance=tolerance)
