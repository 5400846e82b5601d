"""Progress of work that takes more than a moment: a bar on a terminal, else lines of the log."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
SECONDS = 30.0
"""Between two lines of the log."""
log = logging.getLogger(__name__)


def bar(steps: Iterable[T], *, total: int, description: str) -> Iterable[T]:
    """Iterate over ``steps`` and tell how far it is (``models.contracts.Progress``)."""
    if not sys.stderr.isatty():
        return _told(steps, total, description)
    from tqdm import tqdm

    return tqdm(steps, total=total, desc=description, leave=False, delay=1.0)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show that something is under way whose end nobody knows; nothing unless on a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


def _told(steps: Iterable[T], total: int, description: str) -> Iterator[T]:
    begun = told = time.monotonic()
    for done, step in enumerate(steps):
        now = time.monotonic()
        if done and now - told >= SECONDS:
            left = (now - begun) / done * (total - done)
            log.info("%s: %d of %d, about %.0f s left", description, done, total, max(left, 0))
            told = now
        yield step
