"""Write the files of a data version to a folder, from DVC's cache or remote."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from models.contracts import Progress, silent
from models.errors import DataError
from tasks.data import dvc_cache, dvc_remote
from tasks.data.versions import Entry


def write(files: Iterable[Entry], target: Path, progress: Progress = silent) -> None:
    """Write the files of a version below ``target``: exactly their bytes, or nothing at all.

    Args:
        files: From ``entries``, or the (relpath, md5) that a model version carries.
        target: A folder that does not exist yet, or is empty.
        progress: Shows the files.

    Raises:
        DataError: If ``target`` cannot be written, or a file is lost or would lie outside of it.
    """
    files, target = tuple(files), target.absolute()
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    if lacking := dvc_cache.missing(entry.md5 for entry in files):
        dvc_remote.fetch(lacking)
    try:
        if target.exists() and any(target.iterdir()):
            raise DataError(f"{target} must be empty or new, and holds files. Name another folder.")
        partial.mkdir(parents=True)
        for entry in progress(files, total=len(files), description=f"Writing {target.name}"):
            _write(entry, partial)
        if target.exists():
            target.rmdir()
        partial.rename(target)
    except OSError as error:
        raise DataError(
            f"{target} must be a folder that can be written, got: {error.strerror}. Check the "
            "permissions and the free space, or name another folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(entry: Entry, top: Path) -> None:
    parts = PurePosixPath(entry.relpath).parts
    if not parts or ".." in parts or parts[0] == "/":
        raise DataError(f"Every path must lie inside its data set, got {entry.relpath!r}.")
    target = top.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(dvc_cache.locate(entry.md5, entry.relpath), target)
    dvc_cache.check(target, entry.md5, entry.relpath)
