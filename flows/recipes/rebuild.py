"""Rebuild: a recipe from the description of it that a model's lineage keeps."""

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from flows.recipes.recipe import describe
from models.errors import NotFoundError
from tasks.packaging import config_json
from tasks.platform import former_names


def rebuild(described: Any, sources: Path) -> Any:
    """What ``recipe.describe`` described, in classes of the present code.

    Args:
        described: A recipe, or any part of one.
        sources: Folder of the packaged detector with the modules of a user's own; what cannot be
            imported any more is taken from there.

    Raises:
        NotFoundError: If a class or a setting that it names does not exist any more.
    """

    def make(name: str, values: dict[str, Any]) -> Any:
        kind = _class(name, sources)
        try:
            return config_json.instance(kind, values)
        except (KeyError, TypeError) as error:
            raise NotFoundError(
                f"{name} must take the settings that were recorded, and does not: {error}. The "
                "code has changed since: check out the commit that the version was trained at "
                "('unseen trace' names it), or try '--recorded-code'."
            ) from error

    return config_json.rebuilt(described, make)


def unrecorded(described: Mapping[str, Any], rebuilt: object) -> tuple[str, ...]:
    """Settings of the present code that the description does not have, ``detector.change``.

    They came after it was written, and have their defaults in what was rebuilt.
    """
    return tuple(sorted(_leaves(describe(rebuilt)) - _leaves(described)))


def _leaves(described: Any, path: str = "") -> set[str]:
    if not isinstance(described, Mapping):
        return {path}
    below = (_leaves(v, f"{path}.{k}" if path else k) for k, v in described.items() if k != "class")
    return set().union(*below)


def _class(name: str, sources: Path) -> Any:
    """The class ``package.module.Outer.Inner``, of which the module is what can be imported."""
    parts = former_names.present(name).split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            module = _module(".".join(parts[:length]), sources)
            return attrgetter(".".join(parts[length:]))(module)
        except (ImportError, AttributeError):
            continue
    raise NotFoundError(
        f"The class {name} of the recorded recipe must exist, and does not: the code has changed, "
        "or the file it stood in was not recorded with the model. Check out the commit that the "
        "version was trained at ('unseen trace' names it), or put the file on PYTHONPATH."
    )


def _module(name: str, sources: Path) -> ModuleType:
    """A module that can be imported, else the one in the folder of sources."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        path = sources / f"{name}.py"
        if not path.is_file():
            raise
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with former_names.importable():
        spec.loader.exec_module(module)
    return module
