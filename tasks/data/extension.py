"""Expectations that a user has added to those of ours, for one registered model.

Three places, none of which is needed: suites of Great Expectations in ``expectations/NAME.json``
and in the context ``gx/expectations/NAME.json``, where its own tools write; and a function
``expectations()`` in ``expectations/NAME.py``, which returns a list of them. NAME is the registered
model; ``all`` counts for every one.
"""

import hashlib
import json
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
        "suites": stored(name),
        "code": [hashlib.sha256(path.read_bytes()).hexdigest() for path in _modules(name)],
    }


def stored(name: str) -> list[dict[str, Any]]:
    """The user's expectations of a model in suites, as Great Expectations stores them.

    Raises:
        DataError: If a suite cannot be read.
    """
    top = workspace.root()
    folders = (top / FOLDER, top / "gx" / FOLDER)
    found = []
    for path in (folder / f"{each}.json" for folder in folders for each in (EVERY, name)):
        for one in _read(path):
            plain = {key: value for key, value in one.items() if key not in SAME}
            if not _is_ours(one) and plain not in found:
                found.append(plain)
    return found


def build(name: str) -> list["gxe.Expectation"]:
    """The user's expectations of a model.

    Raises:
        DataError: If one of them cannot be built.
    """
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    modules = [_load(path) for path in _modules(name)]  # first: they may define what suites name
    found: list[gxe.Expectation] = []
    try:
        found += [ExpectationConfiguration(**each).to_domain_obj() for each in stored(name)]
        for module in modules:
            found += module.expectations()
    except Exception as error:
        raise DataError(
            f"The expectations that were added for {name} must be those of Great Expectations, "
            f"got: {error}. Correct {FOLDER}/{name}.json, gx/{FOLDER}/{name}.json or "
            f"{FOLDER}/{name}.py."
        ) from error
    if strange := [each for each in found if not isinstance(each, Expectation)]:
        raise DataError(
            f"expectations() of {FOLDER}/{name}.py must return a list of expectations, got "
            f"{strange[0]!r} in it."
        )
    return found


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
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))  # noqa: S102 - the user's
        _ = vars(module)["expectations"]
    except Exception as error:
        raise DataError(
            f"{path} must define a function expectations() that returns a list, got: "
            f"{type(error).__name__}: {error}. Correct it."
        ) from error
    return module
