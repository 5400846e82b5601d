"""Former names of modules, so that old records and users' own recipe files go on working.

Records of lineage name classes by their path, and a recipe file of a user's own imports them by it.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from models.errors import NotFoundError

MOVED = {
    "tasks.promote": "tasks.registry.policy",
    "tasks.validate": "tasks.data.limits",
}
"""Former module that a record or a recipe may name, and the module with its classes now."""
OURS = {"flows", "models", "tasks"}


def present(name: str) -> str:
    """A class or module as it is named now; what never moved stays.

    Args:
        name: ``package.module.Outer.Inner``, or ``package.module:Outer.Inner``.
    """
    for former, now in MOVED.items():
        if name == former or name.startswith((f"{former}.", f"{former}:")):
            return now + name.removeprefix(former)
    return name


def module(name: str) -> ModuleType:
    """The module that had or has this name."""
    return importlib.import_module(present(name))


def find(name: str) -> Any:
    """The class ``package.module.Outer.Inner`` by its former or present name.

    Raises:
        NotFoundError: If there is none.
    """
    parts = present(name).split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            return attrgetter(".".join(parts[length:]))(module(".".join(parts[:length])))
        except (ImportError, AttributeError):
            continue
    raise NotFoundError(f"The class {name} does not exist here.")


@contextmanager
def importable() -> Iterator[None]:
    """Former names can be imported meanwhile: for files that were written when they held.

    Raises:
        NotFoundError: If a module is imported that stands elsewhere now and is not in the table.
    """
    finder = _Finder()
    sys.meta_path.append(finder)
    try:
        yield
    except ModuleNotFoundError as error:
        places = _places(error.name or "")
        if not places:
            raise
        raise NotFoundError(
            f"A recipe file must import what exists, and {error.name} does not any more: import "
            f"{' or '.join(places)} instead."
        ) from error
    finally:
        sys.meta_path.remove(finder)
        for name in MOVED.keys() & sys.modules.keys():
            del sys.modules[name]


class _Finder(MetaPathFinder, Loader):
    """Asked last, so that nothing that exists is hidden."""

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        return ModuleSpec(name, self) if name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        now = vars(importlib.import_module(MOVED[module.__name__]))
        vars(module).update({key: now[key] for key in now if not key.startswith("__")})


def _places(name: str) -> list[str]:
    """Modules of ours that are called like a missing one."""
    top, _, rest = name.partition(".")
    root = Path(__file__).parents[2]
    if top not in OURS or not rest:
        return []
    found = sorted((root / top).rglob(f"{rest.rpartition('.')[2]}.py"))
    return [".".join(path.relative_to(root).with_suffix("").parts) for path in found]
