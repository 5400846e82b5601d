"""Folders on their way into ``data/``: checked, written beside their place, moved in at once."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from models.errors import DataError
from tasks.data import layout, versions
from tasks.data.versions import Entry
from tasks.platform.progress import bar

PREFIX = ".incoming-"
"""Begins the names of folders in ``data/`` that are not complete, or no longer needed."""
LAYOUT = (
    "train/good/ and test/<kind>/ (kinds 'good' and 'good-<class>' are normal), each with images, "
    "with folders of numbered frames, or with video files; masks, if there are any, in "
    "ground_truth/<kind>/"
)


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder in ``data/`` that is gone afterwards, whatever happens.

    Raises:
        DataError: If the disk cannot be read or written while it is in use.
    """
    top = versions.folder()
    try:
        top.mkdir(exist_ok=True)
        remove_leftovers()
        path = Path(mkdtemp(prefix=PREFIX, dir=top))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"The data must be readable and {top} writable, got: {error}. Check the permissions "
            "and the free space of that disk."
        ) from error


def remove_leftovers() -> None:
    """Delete what an ingest that was killed has left; call it under ``versions.lock`` alone."""
    for path in versions.folder().glob(f"{PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def move_in(path: Path, name: str) -> None:
    """Make a complete folder ``data/<name>``, in place of what was there."""
    target = versions.folder() / name
    if target.exists():
        target.rename(path.with_name(f"{path.name}.former"))
    path.rename(target)


def visible_files(source: Path) -> tuple[Entry, ...]:
    """Files of a folder, without hidden ones."""
    return tuple(
        entry for entry in versions.hash_folder(source) if not _is_hidden(Path(entry.relpath))
    )


def copy(source: Path, target: Path) -> None:
    """Copy a folder without hidden files, behind a progress bar."""
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    kept = [path for path in files if not _is_hidden(path.relative_to(source))]
    for path in bar(kept, total=len(kept), description=f"Copying {source.name}"):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "Thumbs.db" for part in path.parts)


def check_layout(path: Path) -> None:
    """Raise unless a folder has images or clips in ``train/good`` and in ``test``.

    Raises:
        DataError: Otherwise.
    """
    for part in ("train/good", "test"):
        if not any(_is_media(file) for file in (path / part).rglob("*")):
            found = ", ".join(sorted(child.name for child in path.iterdir())[:8])
            raise DataError(
                f"{path} must have {LAYOUT}. There is no image or video in {part}/; the folder "
                f"holds: {found or 'nothing'}."
            )


def _is_media(path: Path) -> bool:
    return path.suffix.lower() in layout.IMAGES | layout.VIDEOS and path.is_file()
