"""Scratch folders below ``.unseen``, gone when they are done with."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tasks.platform import workspace

FOLDER = "scratch"
"""Below ``.unseen``; what a killed process leaves there, ``unseen prune`` deletes."""


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """An empty folder below ``.unseen`` that is gone afterwards, whatever happens."""
    top = workspace.home() / FOLDER
    top.mkdir(exist_ok=True)
    path = Path(mkdtemp(prefix=f"{prefix}-", dir=top))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
