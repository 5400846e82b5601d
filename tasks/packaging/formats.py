"""Versions of the records that a model carries, and the refusal of those that are newer.

``detector.json`` and ``lineage.json`` name the version they were written in. Older ones are read;
a newer one may say what this code does not understand, so that it is refused.
"""

from collections.abc import Mapping
from typing import Any

from models.errors import RegistryError

CURRENT = {"backup.json": 1, "detector.json": 1, "lineage.json": 2}
"""What this code writes, and the newest that it reads. Lineage of version 1 names no version, and
neither the machine and libraries it was trained with, nor sources of a user's own recipe."""


def check(name: str, described: Mapping[str, Any]) -> None:
    """Raise unless this code can read a record.

    Args:
        name: Of its file, a key of ``CURRENT``.
        described: Its content.

    Raises:
        RegistryError: If it is newer than this code.
    """
    found, known = described.get("format", 1), CURRENT[name]
    if not isinstance(found, int) or found > known:
        raise RegistryError(
            f"{name} must have a format that this code can read, 1 to {known}; its format is "
            f"{found}: a newer version of unseen wrote it. Upgrade unseen, or take a model version "
            "that was registered before."
        )
