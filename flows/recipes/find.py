"""Find a recipe: by name, in a Python file or a TOML file of a user's own."""

import dataclasses
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from flows.recipes import embedded, toml_file
from flows.recipes.recipe import Recipe
from models.errors import InvalidInputError, NotFoundError, UnseenError
from tasks.platform import former_names


def names() -> dict[str, str]:
    """Name of every embedded recipe and the first line of its description."""
    return {name: (inspect.getdoc(made) or "").splitlines()[0] for name, made in _embedded()}


def load(reference: str, **overrides: Any) -> Recipe:
    """Return the recipe that a name or a file stands for.

    Args:
        reference: Name of an embedded recipe, ``path/to/file.py:function``, or ``file.toml``.
        overrides: Fields of ``Training`` to replace; those that are None stay.

    Raises:
        NotFoundError: If there is no such recipe or file.
        InvalidInputError: If the file has a mistake, or an override is out of range.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    recipe = _load(reference)
    return dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, **given))


def _load(reference: str) -> Recipe:
    if reference.endswith(".toml"):
        return toml_file.read(Path(reference))
    path, _, name = reference.rpartition(":")
    known = dict(_of_file(Path(path)) if path else _embedded())
    if name not in known:
        raise NotFoundError(
            f"There is no recipe {name!r}{f' in {path}' if path else ''}. "
            f"Choose from: {', '.join(sorted(known)) or '(none)'}."
        )
    recipe = _guarded(known[name], Path(path)) if path else known[name]()
    if not isinstance(recipe, Recipe):
        raise InvalidInputError(
            f"The recipe {reference} must return a flows.recipes.Recipe, got "
            f"{type(recipe).__name__}. Return Recipe(...) from it."
        )
    return recipe


def _embedded() -> list[tuple[str, Callable[[], Any]]]:
    return _without_arguments(embedded)


def _of_file(path: Path) -> list[tuple[str, Callable[[], Any]]]:
    if not path.is_file():
        raise NotFoundError(f"The recipe file {path} must exist, and does not. Check the path.")
    spec = importlib.util.spec_from_file_location(f"recipe_{path.stem}", path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    _guarded(lambda: _run(module), path)
    return _without_arguments(module)


def _run(module: ModuleType) -> None:
    assert module.__spec__ is not None
    assert module.__spec__.loader is not None
    with former_names.importable():
        module.__spec__.loader.exec_module(module)


def _without_arguments(module: ModuleType) -> list[tuple[str, Callable[[], Any]]]:
    """Public functions of a module that can be called as they are."""
    return [
        (name, function)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and all(
            each.default is not each.empty
            for each in inspect.signature(function).parameters.values()
        )
    ]


def _guarded(call: Callable[[], Any], path: Path) -> Any:
    """Call what a user wrote; a mistake in it is said once, with its line.

    Raises:
        InvalidInputError: If the file has a mistake.
    """
    try:
        return call()
    except SyntaxError as error:
        line, said = error.lineno, error.msg
    except Exception as error:  # whatever a user's file raises is the user's to mend
        frames = traceback.extract_tb(error.__traceback__)
        own = [each.lineno for each in frames if Path(each.filename) == path.resolve()]
        own = own or [each.lineno for each in frames if Path(each.filename).name == path.name]
        kind = "" if isinstance(error, UnseenError) else f"{type(error).__name__}: "
        line, said = (own or [None])[-1], f"{kind}{error}"
    raise InvalidInputError(f"The recipe file {path} must run, and stops at line {line}: {said}")
