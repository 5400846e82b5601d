"""Expectations that a user has added to those of ours, for one registered model.

Three places, none of which is needed: suites of Great Expectations in ``expectations/NAME.json``
and in the context ``gx/expectations/NAME.json``, where its own tools write; and a function
``expectations()`` in ``expectations/NAME.py``, which returns a list of them. NAME is the registered
model; ``all`` counts for every one.
"""

import hashlib
import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from models.errors import DataError
from tasks.platform import workspace

if TYPE_CHECKING:
    import great_expectations.expectations as gxe

FOLDER = "expectations"
EVERY = "all"
"""In place of a model's name: for all models."""
OURS = {"by": "unseen"}
"""In the ``meta`` of the expectations that are written here again by every validation."""
SAME = ("id", "rendered_content")
"""Keys of a stored expectation that do not change what it expects."""


def content(name: str) -> dict[str, Any]:
    """All that the user's expectations of a model depend on, as plain values.

    Raises:
        DataError: If a suite cannot be read.
    """
    return {
        "suites": [*stored(name, FOLDER), *stored(name, f"gx/{FOLDER}")],
        "code": [hashlib.sha256(path.read_bytes()).hexdigest() for path in _modules(name)],
    }


def stored(name: str, folder: str) -> list[dict[str, Any]]:
    """The user's expectations of a model in the suites of a folder, in one spelling each.

    Raises:
        DataError: If a suite cannot be read.
    """
    paths = (workspace.root() / folder / f"{each}.json" for each in (EVERY, name))
    return [_plain(one) for path in paths for one in _read(path) if not _is_ours(one)]


def _plain(one: dict[str, Any]) -> dict[str, Any]:
    """An expectation without what Great Expectations adds when it is stored again."""
    told = {key: value for key, value in one.items() if key not in SAME and value}
    return {"kwargs": {}, "severity": "critical", **told}


def build(name: str) -> list["gxe.Expectation"]:
    """The user's expectations of a model.

    Those that are kept elsewhere than in the context ``gx`` are marked as ours, as they are written
    there too, and would count twice the next time.

    Raises:
        DataError: If one of them cannot be built.
    """
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    modules = [_load(path) for path in _modules(name)]  # first: they may define what suites name
    found: list[gxe.Expectation] = []
    try:
        marked = [{**each, "meta": _marked(each.get("meta"))} for each in stored(name, FOLDER)]
        kept = [*marked, *stored(name, f"gx/{FOLDER}")]
        found += [ExpectationConfiguration(**each).to_domain_obj() for each in kept]
        for each in (one for module in modules for one in module.expectations()):
            each.meta = _marked(each.meta)
            found.append(each)
    except Exception as error:
        raise DataError(
            f"The expectations that were added for {name} must be those of Great Expectations, "
            f"got: {error}. Correct {FOLDER}/{name}.json, gx/{FOLDER}/{name}.json or "
            f"{FOLDER}/{name}.py."
        ) from error
    return found


def _marked(meta: dict[str, Any] | None) -> dict[str, Any]:
    return {**(meta or {}), **OURS}


def _is_ours(one: dict[str, Any]) -> bool:
    return (one.get("meta") or {}).get("by") == OURS["by"]


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        return list(json.loads(path.read_text())["expectations"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{path} must be a suite of Great Expectations with a list 'expectations', got: "
            f"{type(error).__name__}: {error}. Correct or delete it."
        ) from error


def _modules(name: str) -> list[Path]:
    paths = (workspace.root() / FOLDER / f"{each}.py" for each in (EVERY, name))
    return [path for path in paths if path.is_file()]


def _load(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        _ = vars(module)["expectations"]
    except Exception as error:
        raise DataError(
            f"{path} must define a function expectations() that returns a list, got: "
            f"{type(error).__name__}: {error}. Correct it."
        ) from error
    return module
