"""Identity: what tells this workplace from every other, whatever their folders are called."""

import json
import re
import uuid
from pathlib import Path

from filelock import FileLock

from tasks.platform import files, workspace

FILE = "identity.json"


def identity() -> str:
    """Eight hexadecimal digits, made on first use and kept in ``.unseen``.

    A workplace that is moved keeps them; one that is copied gets its own.
    """
    return _known()["id"]


def pool() -> str:
    """Name of the workplace's work pool in Prefect, and tag of all its deployments.

    The folder's name at first use makes it readable, the identity makes it unique.
    """
    known = _known()
    return f"unseen-{known['name']}-{known['id']}"


def _known() -> dict[str, str]:
    root, path = workspace.root(), workspace.home() / FILE
    known = _read(path)
    if known and known["root"] == str(root):
        return known
    with FileLock(path.with_suffix(".lock")):
        known = _read(path)
        if not known or _is_copy(known, root):
            name = re.sub(r"[^\w.-]", "-", root.name)
            known = {"id": uuid.uuid4().hex[:8], "name": name}
        known = {**known, "root": str(root)}
        files.write(path, json.dumps(known) + "\n")
    return known


def _is_copy(known: dict[str, str], root: Path) -> bool:
    """Whether the workplace that the identity was made for still is where it was."""
    before = Path(known["root"])
    if before == root:
        return False
    there = _read(before / ".unseen" / FILE)
    return there is not None and there["id"] == known["id"]


def _read(path: Path) -> dict[str, str] | None:
    try:
        found = json.loads(path.read_text())
        return {key: str(found[key]) for key in ("id", "name", "root")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
