"""The nouns of pruning: what is old and unused, and what is kept because of whom."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Stale:
    """One thing that may go."""

    name: str
    num_bytes: int
    """Room that it takes, as far as that is known; else 0."""
    remove: Callable[[], None] = field(repr=False, compare=False)
    """Takes it away, at once or not at all; what is gone already is no error."""


@dataclass(kw_only=True)
class Kind:
    """All things of one kind, sorted into those that may go and those that stay."""

    title: str
    why: str
    """What makes one of them stale."""
    stale: list[Stale] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)
    """How many stay, by who needs them; something that several need counts for each."""
    notes: list[str] = field(default_factory=list)

    @property
    def num_bytes(self) -> int:
        """Room that the stale ones take."""
        return sum(each.num_bytes for each in self.stale)


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; 0 if there is none."""
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def newest(path: Path) -> float:
    """When a file, or anything below a folder, was last written; seconds since 1970."""
    return max(each.stat().st_mtime for each in (path, *path.rglob("*")))
