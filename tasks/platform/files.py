"""Files that are written whole or not at all, and scratch folders below ``.unseen``."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tasks.platform import workspace

SCRATCH = "scratch"
"""Below ``.unseen``; what a killed process leaves there, ``unseen prune`` deletes."""


@contextmanager
def whole(path: Path, *, folder: Path | None = None, mode: int = 0o666) -> Iterator[Path]:
    """The place to write what becomes a file at once when it is complete, and else never.

    Whoever reads meanwhile, and whoever comes after a crash, sees the file as it was or as it is.

    Args:
        path: The file.
        folder: Where it is written; beside the file if None, and always on the same file system.
        mode: Who may do what with it, as far as the process's own mask allows.
    """
    partial = (folder or path.parent) / f"{path.name}.{os.getpid()}.part"
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, mode))
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write(path: Path, text: str, *, folder: Path | None = None, mode: int = 0o666) -> None:
    """Write a text whole or not at all; see ``whole``."""
    with whole(path, folder=folder, mode=mode) as partial:
        partial.write_text(text)


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """An empty folder below ``.unseen`` that is gone afterwards, whatever happens."""
    top = workspace.home() / SCRATCH
    top.mkdir(exist_ok=True)
    path = Path(mkdtemp(prefix=f"{prefix}-", dir=top))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
