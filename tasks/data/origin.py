"""Where a data set came from, if DVC brought it: ``dvc import`` and ``dvc import-url``.

DVC notes it in a ``.dvc`` file beside the folder. From there it goes into the ``meta`` of
``data.dvc``, which DVC keeps for its users: so it is versioned, and every clone has it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.platform import workspace

KEY = "unseen"
"""In the ``meta`` of ``data.dvc``."""


def of_folder(folder: Path) -> str:
    """What DVC says of where a folder, or one around it, was imported from; empty if nothing."""
    folder = folder.resolve()
    for each in (folder, *folder.parents):
        note = each.parent / f"{each.name}.dvc"
        if each.name and note.is_file():
            inside = folder.relative_to(each).as_posix()
            return _told(_parsed(note), "" if inside == "." else inside)
    return ""


def noted(name: str, digest: str) -> str:
    """Origin of a set as ``data.dvc`` has it; empty if none, or if its files are others now."""
    known = _noted(_parsed(workspace.root() / "data.dvc").get("meta")).get(name, {})
    return str(known.get("origin", "")) if known.get("digest") == digest else ""


def merged(meta: Any, name: str, digest: str, origin: str) -> Any:
    """The ``meta`` of ``data.dvc`` once a set has another version.

    Args:
        meta: As it was.
        name: The set.
        digest: Of its new version.
        origin: Where that was imported from; empty if nobody knows.
    """
    before = dict(meta) if isinstance(meta, Mapping) else {}
    sets = {key: value for key, value in _noted(meta).items() if key != name}
    if origin:
        sets[name] = {"digest": digest, "origin": origin}
    after = {**before, KEY: sets} if sets else {k: v for k, v in before.items() if k != KEY}
    return after or None


def _noted(meta: Any) -> dict[str, Any]:
    found = meta.get(KEY) if isinstance(meta, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def _parsed(path: Path) -> Mapping[str, Any]:
    from dvc.exceptions import DvcException
    from dvc.utils.serialize import load_yaml

    try:
        found = load_yaml(str(path)) if path.exists() else {}
    except (DvcException, OSError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _told(note: Mapping[str, Any], inside: str) -> str:
    """The dependency of an import in one line: address, path, and what pins it."""
    dependency = next(iter(note.get("deps") or ()), None)
    if not note.get("frozen") or not isinstance(dependency, Mapping):
        return ""
    path = "/".join(filter(None, (str(dependency.get("path", "")), inside)))
    if repository := dependency.get("repo"):
        commit = repository.get("rev_lock", "")
        return f"dvc import {repository.get('url', '')} {path} at {commit}"
    pins = ("etag", "version_id", "checksum", "md5")
    pin = next((f" {key} {dependency[key]}" for key in pins if dependency.get(key)), "")
    return f"dvc import-url {path}{pin}"
