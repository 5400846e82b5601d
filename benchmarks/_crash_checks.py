"""What holds of a repository whatever was killed in it, read without any code of the product.

SQLite's own module reads the registry, ``json`` and ``hashlib`` read packages, data versions and
remembered results.
"""

import contextlib
import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

ENTRY = "unseen.history."
IN_EFFECT = "unseen.history_in_effect"
SHARED = "torchinductor_"
"""Begins the name of a folder that torch makes once for each user, and keeps."""
READY = 2
"""Of a logged model whose files are all there, in MLflow's table."""


@dataclass(frozen=True)
class State:
    """All that counts in a repository at one moment."""

    versions: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    aliases: dict[tuple[str, str], int] = field(default_factory=dict)
    decisions: dict[str, dict[str, str]] = field(default_factory=dict)
    """Decisions of each registered model, as text, by key."""
    in_effect: dict[str, str] = field(default_factory=dict)
    runs: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Kind and status of each MLflow run."""
    results: dict[str, int] = field(default_factory=dict)
    """Moment at which each remembered result was written, ns."""
    data_md5: str | None = None
    objects: frozenset[str] = frozenset()
    """Of DVC's cache."""


def read(top: Path) -> State:
    """The present state of a repository."""
    storage = top / ".unseen" / "prefect" / "storage"
    results = {
        path.name: path.stat().st_mtime_ns
        for path in (storage.iterdir() if storage.is_dir() else ())
        if _is_json(path)
    }
    cache = _cache(top)
    objects = frozenset(path.parent.name + path.name for path in _objects(cache))
    data: dict[str, Any] = {"results": results, "data_md5": _data_md5(top), "objects": objects}
    database = top / ".unseen" / "mlflow.db"
    if not database.is_file():
        return State(**data)
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as store:
        tables = {row[0] for row in store.execute("select name from sqlite_master")}
        if not {"registered_model_aliases", "logged_models"} <= tables:
            return State(**data)
        return State(**data, **_registry(store))


def _registry(store: sqlite3.Connection) -> dict[str, Any]:
    decisions: dict[str, dict[str, str]] = {}
    in_effect: dict[str, str] = {}
    for name, key, value in store.execute("select name, key, value from registered_model_tags"):
        if key == IN_EFFECT:
            in_effect[name] = value
        elif key.startswith(ENTRY):
            decisions.setdefault(name, {})[key] = value
    runs = store.execute(
        "select r.run_uuid, t.value, r.status from runs r left join tags t "
        "on t.run_uuid = r.run_uuid and t.key = 'unseen.kind'"
    )
    aliases = store.execute("select name, alias, version from registered_model_aliases")
    return {
        "versions": _versions(store),
        "aliases": {(name, alias): version for name, alias, version in aliases},
        "decisions": decisions,
        "in_effect": in_effect,
        "runs": {run: (kind or "", status) for run, kind, status in runs},
    }


def _versions(store: sqlite3.Connection) -> dict[tuple[str, int], dict[str, Any]]:
    """Versions that were not deleted, with their tags, and status and place of their model."""
    models = {
        model: (status, location)
        for model, status, location in store.execute(
            "select model_id, status, artifact_location from logged_models"
        )
    }
    versions: dict[tuple[str, int], dict[str, Any]] = {
        (name, version): {
            "run_id": run_id,
            "source": source,
            "status": status,
            "tags": {},
            "model": models.get(str(source).removeprefix("models:/")),
        }
        for name, version, run_id, source, status in store.execute(
            "select name, version, run_id, source, status from model_versions "
            "where current_stage != 'Deleted_Internal'"
        )
    }
    for name, version, key, value in store.execute(
        "select name, version, key, value from model_version_tags"
    ):
        if (name, version) in versions:
            versions[name, version]["tags"][key] = value
    return versions


def problems(top: Path, state: State) -> list[str]:
    """What must never be, however a process ended; empty if all is well."""
    return [*_of_versions(state), *_of_aliases(state), *_of_history(state), *_of_data(top, state)]


def leftovers(top: Path, temporary: Path) -> list[str]:
    """What only a process under way may have: none may be there once a command has ended."""
    found = [path for path in temporary.iterdir() if not path.name.startswith(SHARED)]
    found += (top / ".unseen").rglob("*.part")
    found += (top / ".unseen" / "scratch").glob("*")
    found += [path for path in (top / "data").glob(".*") if path.is_dir()]
    found += [path for path in top.glob("*") if path.name.endswith((".tmp", ".part"))]
    return sorted(str(path) for path in found)


def lost(before: State, after: State) -> list[str]:
    """What was there and is no longer, or was changed although it never may."""
    found = [f"version {key}" for key in before.versions.keys() - after.versions.keys()]
    found += [
        f"run of version {key}"
        for key, each in before.versions.items()
        if key in after.versions and each["run_id"] != after.versions[key]["run_id"]
    ]
    for name, entries in before.decisions.items():
        now = after.decisions.get(name, {})
        found += [f"decision {key}" for key, text in entries.items() if now.get(key) != text]
        if sorted(now)[: len(entries)] != sorted(entries):
            found.append(f"order of the decisions about {name}")
    found += [f"object {md5}" for md5 in before.objects - after.objects]
    if before.data_md5 and not after.data_md5:
        found.append("data.dvc")
    found += [f"finished {name}" for name in before.results if after.results.get(name) is None]
    return found


def computed_again(before: State, after: State) -> list[str]:
    """Results that had been kept and were written once more."""
    return [
        name for name, moment in before.results.items() if after.results.get(name, moment) != moment
    ]


def _of_versions(state: State) -> Iterator[str]:
    for run_id, count in Counter(each["run_id"] for each in state.versions.values()).items():
        if count > 1:
            yield f"{count} versions of run {run_id}"
    for key, each in state.versions.items():
        if each["status"] != "READY":
            yield f"version {key} is {each['status']}"
        if state.runs.get(each["run_id"], ("", ""))[1] != "FINISHED":
            yield f"run of version {key} is not finished"
        if each["model"] is None or each["model"][0] != READY:
            yield f"model of version {key} is not ready"
            continue
        digest = _package_digest(Path(unquote(urlparse(each["model"][1]).path)))
        if digest != each["tags"].get("unseen.model_digest"):
            yield f"version {key} has the digest {digest}"


def _of_aliases(state: State) -> Iterator[str]:
    for (name, alias), version in state.aliases.items():
        if (name, version) not in state.versions:
            yield f"alias {name}@{alias} points to version {version}, which is not there"


def _of_history(state: State) -> Iterator[str]:
    for name, entries in state.decisions.items():
        keys = sorted(entries)
        try:
            decisions = [json.loads(entries[key]) for key in keys]
        except ValueError:
            yield f"history of {name} cannot be read"
            continue
        champion = state.aliases.get((name, "champion"), 0)
        pending = state.in_effect.get(name) != keys[-1]
        allowed = {decisions[-1]["champion"]}
        if pending:
            allowed.add(decisions[-1]["former"] or 0)
        if decisions[-1]["action"] != "refuse" and champion not in allowed:
            yield f"{name} is served by {champion}, its history says {sorted(allowed)}"


def _of_data(top: Path, state: State) -> Iterator[str]:
    path = top / "data.dvc"
    if path.exists() and state.data_md5 is None:
        yield f"data.dvc cannot be read: {path.read_text()!r}"
    cache = _cache(top)
    for each in _objects(cache):
        md5 = each.parent.name + each.name
        if hashlib.md5(each.read_bytes(), usedforsecurity=False).hexdigest() != md5.removesuffix(
            ".dir"
        ):
            yield f"object {md5} has other bytes"
            continue
        if md5.endswith(".dir"):
            files = json.loads(each.read_bytes())
            lacking = [item["md5"] for item in files if item["md5"] not in state.objects]
            if lacking:
                yield f"data version {md5} lacks {len(lacking)} files"
    if state.data_md5 and state.data_md5 not in state.objects:
        yield f"data.dvc names {state.data_md5}, which is not in the cache"


def _package_digest(model: Path) -> str:
    """SHA-256 over names and SHA-256 of the files of a package, if they are those it lists."""
    folder = model / "artifacts" / "package"
    try:
        listed = json.loads((folder / "digest.json").read_text())
    except (OSError, ValueError):
        return "nothing readable"
    actual = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "digest.json"
    }
    if actual != listed:
        return "other files than listed"
    lines = "".join(f"{value}  {name}\n" for name, value in sorted(actual.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _cache(top: Path) -> Path:
    return top / ".dvc" / "cache" / "files" / "md5"


def _objects(cache: Path) -> list[Path]:
    return [
        path for path in sorted(cache.glob("??/*")) if re.fullmatch(r"\w{30}(\.dir)?", path.name)
    ]


def _data_md5(top: Path) -> str | None:
    path = top / "data.dvc"
    text = path.read_text() if path.is_file() else ""
    found = re.findall(r"^- md5: (\w{32}\.dir)$", text, re.MULTILINE)
    complete = len(found) == 1 and re.search(r"^  path: data$", text, re.MULTILINE)
    return str(found[0]) if complete else None


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True
