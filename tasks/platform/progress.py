"""Progress of work that takes more than a moment: a bar on a terminal, else lines of the log."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
SECONDS = 30.0
"""Between two lines of the log."""
log = logging.getLogger(__name__)


def bar(steps: Iterable[T], *, total: int, description: str) -> Iterable[T]:
    """Iterate over ``steps`` and tell how far it is (``models.contracts.Progress``)."""
    if not sys.stderr.isatty():
        return _told(steps, total, description)
    return tqdm(steps, total=total, desc=description, leave=False, delay=1.0)


def _told(steps: Iterable[T], total: int, description: str) -> Iterator[T]:
    begun = told = time.monotonic()
    for done, step in enumerate(steps):
        now = time.monotonic()
        if done and now - told >= SECONDS:
            left = (now - begun) / done * (total - done)
            log.info("%s: %d of %d, about %.0f s left", description, done, total, max(left, 0))
            told = now
        yield step
