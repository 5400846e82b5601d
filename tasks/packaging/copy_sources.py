"""The sources that define a model, copied into its package; ``import_sources`` runs them."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.errors import RegistryError

OURS = {"flows", "tasks", "models"}
"""Packages of this repository; of these, a model carries ``models`` and its reader."""
READER = (
    "__init__.py",
    "packaging/__init__.py",
    "packaging/calibration.py",
    "packaging/config_json.py",
    "packaging/copy_sources.py",
    "packaging/detector.py",
    "packaging/formats.py",
    "packaging/import_sources.py",
    "packaging/network.py",
    "packaging/normality.py",
    "packaging/package.py",
    "packaging/preprocessing.py",
    "packaging/program.py",
    "packaging/raw.py",
    "packaging/tensors.py",
)
"""Files of ``tasks`` that travel with the model, so that it loads without this repository."""


def modules_of(described: Any) -> set[str]:
    """Top-level packages and modules of a user's own that a recipe names classes of.

    Args:
        described: A recipe as plain data, in which every part carries the name of its class.
    """
    named = {name.partition(".")[0] for name in _classes(described)} - OURS
    places = {name: getattr(sys.modules.get(name), "__file__", None) for name in named}
    return {name for name, place in places.items() if place and "site-packages" not in place}


def _classes(described: Any) -> Iterator[str]:
    if isinstance(described, Mapping):
        if isinstance(described.get("class"), str) and "." in described["class"]:
            yield described["class"]
        described = list(described.values())
    if isinstance(described, list | tuple):
        for each in described:
            yield from _classes(each)


def copy_sources(target: Path, names: set[str]) -> None:
    """Copy top-level packages and modules that were imported, and the reader, to a new folder.

    Raises:
        RegistryError: If one of them cannot be imported by name.
    """
    target.mkdir(parents=True)
    for top in sorted(names):
        origin = getattr(sys.modules.get(top), "__file__", None)
        if origin is None or top == "__main__":
            raise RegistryError(
                f"A detector and its encoder must be defined in a module that can be imported, so "
                f"that the model can carry its source; {top!r} cannot. Move the class to a file."
            )
        path = Path(origin)
        if path.name == "__init__.py":
            _copy(sorted(path.parent.rglob("*.py")), path.parents[1], target)
        else:
            shutil.copyfile(path, target / f"{top}.py")
    reader = Path(__file__).parents[1]
    _copy([reader / name for name in READER], reader.parent, target)


def _copy(sources: list[Path], base: Path, target: Path) -> None:
    for source in sources:
        copy = target / source.relative_to(base)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
