"""The bytes behind the md5s: DVC's cache, and its default remote for what the cache lacks."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from models.errors import DataError, NotFoundError
from tasks.data import dvc_remote, dvc_repository
from tasks.platform import workspace

log = logging.getLogger(__name__)

ADVICE = (
    "Name the remote that has it with 'dvc remote add -d NAME URL', from which it is fetched when "
    "it is needed; or bring the same files in again, under any name: 'unseen ingest DIR --as NAME'."
)
"""What to do about bytes that are lost here."""


def cache_folder() -> Path:
    """Folder of DVC's cache that holds the objects by md5.

    Raises:
        NotFoundError: If nothing was ever brought in here.
    """
    folder = dvc_repository.folder()
    if folder is None:
        raise NotFoundError(
            f"There is no data version yet in {workspace.root()}. Bring data in with 'unseen "
            "ingest'."
        )
    return _cache_folder(folder)


@cache
def _cache_folder(folder: Path) -> Path:
    from dvc.config import Config  # opening the repository takes a second, its settings do not
    from dvc.exceptions import DvcException

    with contextlib.suppress(DvcException):
        settings = Config(str(folder))["cache"]
        if not settings.get("local"):
            return Path(settings.get("dir") or folder / "cache", "files", "md5")
    with dvc_repository.opened() as repo:
        return Path(repo.cache.local.path)


def cached_path(md5: str) -> Path:
    """Where DVC's cache keeps an object, whether it has it or not."""
    return cache_folder() / md5[:2] / md5[2:]


def missing(md5s: Iterable[str]) -> tuple[str, ...]:
    """Those of the objects that DVC's cache does not hold."""
    top = cache_folder()
    return tuple(md5 for md5 in md5s if not (top / md5[:2] / md5[2:]).exists())


def check_stored(md5s: Iterable[str]) -> None:
    """Raise unless DVC's cache holds these objects; DVC only logs that it could not write one.

    Raises:
        DataError: Otherwise.
    """
    wanted = tuple(md5s)
    if lacking := missing(wanted):
        raise DataError(
            f"DVC's cache must take every file of a version, and {len(lacking)} of {len(wanted)} "
            f"could not be written to {cache_folder()}. Check the free space and the permissions, "
            "then try again; no version has changed."
        )


def at_hand(*md5s: str) -> bool:
    """Whether DVC's cache holds these objects, or could just fetch them from the remote."""
    lacking = missing(md5s)
    if lacking:
        try:
            dvc_remote.fetch(lacking)
        except DataError as error:
            log.warning("%s", error)
    return not missing(lacking)


def locate(md5: str, name: str) -> Path:
    """Path of an object in DVC's cache, fetched from the remote if need be.

    Args:
        md5: The object's md5; a list of files ends in ``.dir``.
        name: What to call it in a message.

    Raises:
        DataError: If it is nowhere to be had.
    """
    path = cached_path(md5)
    if not path.exists():
        dvc_remote.fetch([md5])
    if not path.exists():
        raise DataError(
            f"{name} (md5 {md5}) must be in DVC's cache or remote, and is in neither. {ADVICE}"
        )
    return path


def verified(md5: str, name: str) -> Path:
    """Path of an object in DVC's cache whose bytes were just found to have this md5.

    Raises:
        DataError: If it is nowhere to be had, or corrupt.
    """
    path = locate(md5, name)
    check(path, md5, name)
    return path


def check(path: Path, md5: str, name: str) -> None:
    """Raise unless the bytes at ``path`` have this md5.

    Raises:
        DataError: If they have another, or cannot be read.
    """
    try:
        actual = file_md5(path)
    except OSError as error:
        raise DataError(
            f"{name} must be readable at {path}, got: {error.strerror}. Check the disk and its "
            "permissions."
        ) from error
    if actual != md5.removesuffix(".dir"):
        raise DataError(
            f"{name} must have md5 {md5}, but DVC's cache holds other bytes for it, {actual}: it "
            f"is corrupt. Delete {cached_path(md5)}, then run 'dvc fetch', or 'unseen ingest' if "
            "the file in data/ is still good."
        )


def file_md5(path: Path) -> str:
    """The md5 of a file's bytes, as DVC computes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def listing(dvc_md5: str) -> tuple[dict[str, str], ...]:
    """DVC's list of files of a folder: ``md5`` and ``relpath`` of each, sorted by path.

    Raises:
        DataError: If it is neither in the cache nor in the remote, or is corrupt.
    """
    return _parsed(verified(dvc_md5, "The list of files in data/"))


@cache
def _parsed(path: Path) -> tuple[dict[str, str], ...]:
    return tuple(json.loads(path.read_bytes()))


def cached_listings() -> Iterator[str]:
    """The md5 of every list of files that DVC's cache holds."""
    for path in sorted(cache_folder().glob("*/*.dir")):
        yield path.parent.name + path.name


def num_bytes(md5s: Iterable[str]) -> int:
    """Bytes that the objects take, as far as DVC's cache holds them."""
    top = cache_folder()
    paths = (top / md5[:2] / md5[2:] for md5 in md5s)
    return sum(path.stat().st_size for path in paths if path.exists())


def size_after(
    size: int | None, removed: Iterable[str], added: Iterable[str], every: Iterable[str]
) -> int | None:
    """Bytes of a folder after some of its files were replaced; None if nobody can tell.

    Args:
        size: Before, as far as it was written down.
        removed: Objects that it no longer has.
        added: Objects that it has instead.
        every: All that it has now.
    """
    removed, added, every = tuple(removed), tuple(added), tuple(every)
    if not missing(every):
        return num_bytes(every)
    if size is None or missing((*removed, *added)):
        return None
    return size - num_bytes(removed) + num_bytes(added)
