"""Folders on their way into ``data/``: checked, written beside their place, moved in at once."""

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp

from models.errors import DataError
from tasks.data import dvc_cache, layout, versions
from tasks.data.versions import Entry
from tasks.platform.progress import bar

log = logging.getLogger(__name__)

PREFIX = ".incoming-"
"""Begins the names of folders in ``data/`` that are not complete, or no longer needed."""
MOST_NAMED = 8
"""Folders and files that a refusal names."""
LAYOUT = (
    "train/good/ and, to measure it, test/<kind>/ (kinds 'good' and 'good-<class>' are normal), "
    "each with images, with folders of numbered frames, or with video files; masks, if there are "
    "any, in ground_truth/<kind>/; or be a folder that holds normal images and no other folder of "
    "images"
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


@contextmanager
def moved_in(path: Path, name: str) -> Iterator[None]:
    """Make a complete folder ``data/<name>``, in place of what was there.

    If the block fails, everything is as it was before.

    Args:
        path: A folder in ``data/``.
        name: Of the data set.
    """
    target = versions.folder() / name
    former = path.with_name(f"{path.name}.former")
    if target.exists():
        target.rename(former)
    path.rename(target)
    try:
        yield
    except BaseException:
        path.parent.mkdir(parents=True, exist_ok=True)  # a scratch within clears this one away
        if target.exists():
            target.rename(path)
        if former.exists():
            former.rename(target)
        raise


def move_in(path: Path, name: str) -> None:
    """Make a complete folder ``data/<name>``, in place of what was there."""
    with moved_in(path, name):
        pass


def files_of(source: Path) -> dict[str, Path]:
    """The files of a folder that are data, by their path below it; links are followed.

    Hidden files and what file managers leave behind are left out.

    Raises:
        DataError: If a link is broken or leads back to a folder above it, a name cannot be kept
            as it is, or something is neither file nor folder.
    """
    found: dict[str, Path] = {}
    _collect(source, "", (source.resolve(),), found)
    return found


def incoming(source: Path) -> dict[str, Path]:
    """``files_of`` a folder to bring in, by their path in the data set.

    Photographs or videos that lie in the folder itself, where none lies deeper, are normal ones:
    they go to ``train/good/``.

    Raises:
        DataError: As ``files_of`` does.
    """
    files = files_of(source)
    media = {each for each in files if PurePosixPath(each).suffix.lower() in layout.MEDIA}
    if any("/" in each for each in media):
        return files
    loose = {each for each in media if layout.place(each).role == "other"}  # and not where to look
    return {f"train/good/{each}" if each in loose else each: path for each, path in files.items()}


def _collect(folder: Path, prefix: str, above: tuple[Path, ...], found: dict[str, Path]) -> None:
    for path in sorted(folder.iterdir()):
        if layout.is_noise(path.name):
            continue
        _check_name(path)
        if path.is_dir():
            target = path.resolve()
            if target in above:
                raise DataError(
                    f"A link must not lead back to a folder above it, and {path} leads to "
                    f"{target}. Remove the link."
                )
            _collect(path, f"{prefix}{path.name}/", (*above, target), found)
        elif path.is_file():
            found[f"{prefix}{path.name}"] = path
        else:
            raise DataError(
                f"A data set must consist of files and folders, and {path} is "
                f"{'a broken link' if path.is_symlink() else 'neither'}. Remove it."
            )


def copy_links(folder: Path) -> None:
    """Replace links to folders, which DVC does not follow, by copies of what they lead to.

    Args:
        folder: The working copy of a data set.

    Raises:
        DataError: As ``files_of`` does.
    """
    places = {folder / relpath for relpath in files_of(folder)}
    links = {up for path in places for up in path.parents if up.is_symlink() and up != folder}
    for link in sorted(path for path in links if path.is_relative_to(folder)):
        if not link.is_symlink():  # it lay in one that was copied
            continue
        target = link.resolve()
        with scratch() as place:
            copy(target, place / link.name)
            link.unlink()
            (place / link.name).rename(link)
        log.warning(
            "%s was a link to %s, and is a copy of it now, as DVC follows none.", link, target
        )


def _check_name(path: Path) -> None:
    """Raise unless every tool that keeps the name will keep it as it is."""
    name = path.name
    try:
        name.encode()
    except UnicodeEncodeError:
        problem = "is not UTF-8"
    else:
        if name.isprintable():
            return
        problem = "holds a character that cannot be printed"
    raise DataError(
        f"Names of files must be printable UTF-8, and {str(path)!a} {problem}. Rename it."
    )


def visible_files(source: Path) -> tuple[Entry, ...]:
    """Files of a folder that are data, with their md5.

    Raises:
        DataError: As ``files_of`` does.
    """
    kept = incoming(source)
    known = {source / entry.relpath: entry.md5 for entry in versions.hash_folder(source)}
    return tuple(  # DVC follows no links to folders
        Entry(relpath, known.get(kept[relpath]) or dvc_cache.file_md5(kept[relpath]))
        for relpath in sorted(kept, key=lambda each: tuple(each.split("/")))
    )


def copy(source: Path, target: Path, files: Mapping[str, Path] | None = None) -> None:
    """Copy what ``files_of`` finds in a folder, behind a progress bar.

    Args:
        source: The folder.
        target: Where to.
        files: What to copy, by path below ``target``, if it is to lie otherwise.

    Raises:
        DataError: As ``files_of`` does, before anything is copied.
    """
    files = files_of(source) if files is None else files
    steps = bar(files.items(), total=len(files), description=f"Copying {source.name}")
    target.mkdir(parents=True, exist_ok=True)
    for relpath, path in steps:
        place = target / relpath
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def check_layout(path: Path, files: Iterable[str] | None = None) -> None:
    """Raise unless a folder has images or clips in ``train/good``.

    Args:
        path: The folder.
        files: Paths in the data set that it is to become, if they are others than its own.

    Raises:
        DataError: Otherwise.
    """
    files = list(files_of(path) if files is None else files)
    if any(relpath.startswith("train/good/") and _is_media(relpath) for relpath in files):
        return
    held = dict.fromkeys("/".join(PurePosixPath(each).parts[:-1][:2]) or each for each in files)
    raise DataError(
        f"{path} must have {LAYOUT}. There is no image or video in train/good/; the "
        f"folder holds: {', '.join(list(held)[:MOST_NAMED]) or 'nothing'}."
    )


def _is_media(relpath: str) -> bool:
    return layout.place(relpath).role in {"image", "video"}
