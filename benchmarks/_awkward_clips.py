"""Awkward clips: order of frames, label files, videos, files of several pages."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, features

from benchmarks import _awkward_pictures as pictures
from benchmarks._awkward_cases import READ, VALIDATION, Case, edited
from benchmarks._awkward_pictures import KIND, write, write_clips

LABELS = [0, 0, 0, 1, 1, 0, 0, 0]


def _edited(
    name: str, edit: Callable[[Path], object], outcome: str = READ, words: str = "", **more: Any
) -> Case:
    make = lambda folder: edit(write_clips(folder))  # noqa: E731
    return Case(name, make, outcome, words, clips=True, **more)


def frame_cases() -> Iterator[Case]:
    """Folders of frames: numbers count as numbers."""
    yield _edited("frames without zeros", lambda f: _renamed(f, "{}"))
    for form in ("{:03}", "cam2_{:04}_v3", "img-{}", "[{}]", "{}$", "2024_{}_of_8"):
        yield _edited(f"frames called {form}", lambda f, form=form: _renamed(f, form))
    yield _edited("deeper folders", _deeper)
    yield _edited(
        "a frame is missing",
        lambda f: (f / "train/good/1/3.png").unlink(),
        VALIDATION,
        "no_gaps_in_clips",
    )
    yield _edited("a frame of another size", _resized, VALIDATION, "one_format_per_clip")
    yield _edited("a short clip", _short, VALIDATION, "enough_frames_per_clip")
    for turned in (3, 6):
        put = lambda path, shown, turned=turned: write(path, shown, "JPEG", "L", turned)  # noqa: E731
        yield Case(
            f"frames of orientation {turned}",
            lambda f, put=put: write_clips(f, put),
            clips=True,
            tolerance=12,
        )


def _renamed(folder: Path, form: str) -> None:
    for path in [*folder.glob("train/*/*/*.png"), *folder.glob("test/*/*/*.png")]:
        path.rename(path.with_name(f"x{path.name}"))
    for path in [*folder.glob("train/*/*/*.png"), *folder.glob("test/*/*/*.png")]:
        path.rename(path.with_name(form.format(int(path.stem[1:])) + ".png"))


def _deeper(folder: Path) -> None:
    for split in ("train/good", "test/good"):
        (folder / split / "camera/day").mkdir(parents=True)
        (folder / split / "0").rename(folder / split / "camera/day/0")
        (folder / split / "camera/day/0").rename(folder / split / "camera/day0")
        (folder / split / "camera/day").rmdir()


def _resized(folder: Path) -> None:
    write(folder / "train/good/1/3", np.ascontiguousarray(pictures.picture(13)[:-2]))


def _short(folder: Path) -> None:
    for path in (folder / "train/good/1").glob("[3-7].png"):
        path.unlink()


def label_cases() -> Iterator[Case]:
    """Label files however they were saved."""
    lines = "\n".join(map(str, LABELS))
    contents: dict[str, bytes] = {
        "BOM": b"\xef\xbb\xbf" + lines.encode(),
        "UTF-16": lines.encode("utf-16"),
        "UTF-16 without a mark": lines.encode("utf-16-le"),
        "CRLF": lines.replace("\n", "\r\n").encode(),
        "0.0": "\n".join(f"{each:.1f}" for each in LABELS).encode(),
        "trailing lines": (lines + "\n\n\n  \n").encode(),
        "commas": ",".join(map(str, LABELS)).encode(),
        "one line": " ".join(map(str, LABELS)).encode(),
    }
    for name, content in contents.items():
        yield _edited(f"labels with {name}", lambda f, content=content: _labels(f, content))
    yield _edited(
        "labels.TXT",
        lambda f: (f / f"ground_truth/{KIND}/0.txt").rename(f / f"ground_truth/{KIND}/0.TXT"),
    )
    wrong = {
        "one short": lines[:-2].encode(),
        "words": b"no no no yes yes no no no",
        "empty": b"",
        "a 2": lines.replace("1", "2").encode(),
    }
    for name, content in wrong.items():
        yield _edited(
            f"labels, {name}",
            lambda f, content=content: _labels(f, content),
            VALIDATION,
            "cut/0.txt .*a 0 or 1 for each of the 8 frames",
        )


def _labels(folder: Path, content: bytes) -> None:
    (folder / f"ground_truth/{KIND}/0.txt").write_bytes(content)


def video_cases() -> Iterator[Case]:
    """Video files, and images of several pages."""
    for suffix, codec in (
        (".avi", "FFV1"),
        (".avi", "MJPG"),
        (".mkv", "FFV1"),
        (".mp4", "mp4v"),
        (".mov", "mp4v"),
        (".webm", "VP80"),
    ):
        yield Case(
            f"videos {suffix} {codec}",
            lambda f, s=suffix, c=codec: _videos(f, s, c),
            clips=True,
            tolerance=40,
        )
    yield from _cases_of_pages()
    yield Case(
        "videos of another rate in test",
        lambda f: _videos(f, ".avi", "FFV1", other=25.0),
        words="one_frame_rate",
        clips=True,
        tolerance=40,
    )
    for suffix in (".avi", ".mp4", ".mkv", ".webm"):
        yield Case(
            f"truncated {suffix}",
            lambda f, s=suffix: _truncated(f, s),
            VALIDATION,
            "every_file_decodes",
            clips=True,
        )
    yield Case(
        "a video that is none",
        _no_video,
        VALIDATION,
        "cannot open it as a video",
        clips=True,
    )
    yield Case("masks of a video by number", _masked, clips=True, tolerance=40)
    if features.check("avif"):
        yield Case("AV1", _av1, VALIDATION, "AV1 cannot be decoded here", clips=True)


def _cases_of_pages() -> Iterator[Case]:
    """Images of several pages: as clips, cut short, among images."""
    for kind in ("TIFF", "GIF", "PNG", "WEBP", *["AVIF"] * features.check("avif")):
        yield Case(
            f"clips as {kind} of several pages",
            lambda f, kind=kind: _paged(f, kind),
            clips=True,
            tolerance=pictures.LOSSY.get(kind, 1),
        )
        yield Case(
            f"{kind} of several pages cut short",
            lambda f, kind=kind: _paged(f, kind, kept=0.8),
            VALIDATION,
            "every_file_decodes",
            clips=True,
        )
        yield edited(
            f"{kind} of several pages among images",
            lambda f, kind=kind: _page(f / "train/good/1.png", kind),
            words="one_page_per_image",
        )


def _each(folder: Path) -> Iterator[tuple[Path, list[pictures.Pixels]]]:
    """The folder of each clip of ``write_clips``, which is removed, and its frames in order."""
    write_clips(folder)
    for clip in [*folder.glob("train/*/*"), *folder.glob("test/*/*")]:
        frames = [np.asarray(Image.open(clip / f"{number}.png")) for number in range(8)]
        shutil.rmtree(clip)
        yield clip, frames


def _videos(folder: Path, suffix: str, codec: str, other: float = 10.0) -> None:
    for clip, frames in _each(folder):
        rate = other if "test" in clip.parts else 10.0
        size = (pictures.WIDTH, pictures.HEIGHT)
        path = clip.with_name(clip.name + suffix)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, size)
        for frame in frames:
            writer.write(np.dstack([frame] * 3))
        writer.release()


def _paged(folder: Path, kind: str, kept: float = 1.0) -> None:
    suffix = pictures.SUFFIXES.get(kind, f".{kind.lower()}")
    for clip, frames in _each(folder):
        _save_pages(clip.with_name(clip.name + suffix), frames, kind)
    path = folder / f"train/good/1{suffix}"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])


def _av1(folder: Path) -> None:
    """An MP4 file of AV1: what Pillow writes as an animated AVIF, which differs in its brand."""
    _videos(folder, ".avi", "FFV1")
    path = folder / "train/good/1.avif"
    _save_pages(path, [pictures.picture(10 + frame) for frame in range(8)], "AVIF")
    content = path.read_bytes().replace(b"avis", b"iso6").replace(b"avif", b"iso6", 1)
    path.with_suffix(".avi").unlink()
    path.with_suffix(".mp4").write_bytes(content)
    path.unlink()


def _page(path: Path, kind: str) -> None:
    frames = [np.asarray(Image.open(path)), pictures.picture(950)]
    path.unlink()
    _save_pages(path.with_suffix(pictures.SUFFIXES.get(kind, f".{kind.lower()}")), frames, kind)


def _save_pages(path: Path, frames: list[pictures.Pixels], kind: str) -> None:
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save(path, kind, save_all=True, append_images=rest, **pictures.OPTIONS.get(kind, {}))


def _truncated(folder: Path, suffix: str) -> None:
    _videos(folder, suffix, {".mp4": "mp4v", ".webm": "VP80"}.get(suffix, "MJPG"))
    path = folder / f"train/good/1{suffix}"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _no_video(folder: Path) -> None:
    _videos(folder, ".avi", "FFV1")
    (folder / "train/good/1.avi").write_text("no video")


def _masked(folder: Path) -> None:
    _videos(folder, ".avi", "FFV1")
    (folder / f"ground_truth/{KIND}/0.txt").unlink()
    for number, marked in enumerate(LABELS):
        shown = pictures.mask().astype(np.uint8) * 255 * marked
        write(folder / f"ground_truth/{KIND}/0/{number:03}", shown)
