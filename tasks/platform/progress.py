"""Progress bars on work that takes more than a moment; silent where nobody watches."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def bar(steps: Iterable[T], *, total: int, description: str) -> Iterable[T]:
    """Iterate over ``steps`` behind a bar on the terminal (``models.contracts.Progress``)."""
    hidden = not sys.stderr.isatty()
    return tqdm(steps, total=total, desc=description, disable=hidden, leave=False, delay=1.0)
