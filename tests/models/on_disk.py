"""The models of a family: every public file of its folder defines exactly one."""

import importlib
import pkgutil


def models_of(family):
    """The one class with a ``Config`` that each public module of a package defines."""
    names = [found.name for found in pkgutil.iter_modules(family.__path__) if found.name[0] != "_"]
    for name in names:
        module = importlib.import_module(f"{family.__name__}.{name}")
        (found,) = (
            thing
            for thing in vars(module).values()
            if getattr(thing, "__module__", None) == module.__name__ and hasattr(thing, "Config")
        )
        yield found
