"""Run the sources that a model was trained with, beside whatever version this process has.

A packaged detector carries the packages that define it. They are imported under a prefix of their
own (``_unseen_<digest>.models.one_class...``), and their ``import models...`` statements are led to
that prefix. So nothing in ``sys.modules`` or ``sys.path`` is exchanged, not even for a moment: two
versions serve side by side, threads may import meanwhile, and the same sources are loaded once.

This file needs the standard library only: a model's loader runs it before anything else.
"""

import builtins
import hashlib
import importlib.util
import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

_LOCK = threading.RLock()


class _WithoutBytecode(SourceFileLoader):
    """Compiles the source itself: a ``__pycache__`` beside it is neither trusted nor written."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class Vendored:
    """The Python packages in one folder, imported apart from all others.

    Args:
        folder: Holds the packages and modules, one folder or file each.

    Attributes:
        prefix: First part of the name of every module imported from here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.names = {
            path.stem for path in folder.iterdir() if path.is_dir() or path.suffix == ".py"
        }
        self.prefix = f"_unseen_{_digest(folder)}"
        self._builtins = {**vars(builtins), "__import__": self._import}

    def load(self, name: str) -> ModuleType:
        """Import a module of the folder, such as ``models.one_class.deep_anomaly``.

        Raises:
            ModuleNotFoundError: If the folder has no such module.
        """
        full = f"{self.prefix}.{name}"
        with _LOCK:
            if full in sys.modules:
                return sys.modules[full]
            parent, _, child = name.rpartition(".")
            if parent:
                package = self.load(parent)
            spec, loader = self._find(name, full)
            module = importlib.util.module_from_spec(spec)
            vars(module)["__builtins__"] = self._builtins
            sys.modules[full] = module
            try:
                loader.exec_module(module)
            except BaseException:
                del sys.modules[full]
                raise
            if parent:
                setattr(package, child, module)
            return module

    def _find(self, name: str, full: str) -> tuple[ModuleSpec, SourceFileLoader]:
        path = self.folder.joinpath(*name.split("."))
        package = path.is_dir()
        source = path / "__init__.py" if package else path.with_suffix(".py")
        if not source.is_file():
            raise ModuleNotFoundError(f"No module named {name!r} in {self.folder}.", name=name)
        loader = _WithoutBytecode(full, str(source))
        spec = ModuleSpec(full, loader, origin=str(source), is_package=package)
        spec.has_location = True
        if package:
            spec.submodule_search_locations = [str(path)]
        return spec, loader

    def _import(
        self,
        name: str,
        globals: dict[str, Any] | None = None,  # noqa: A002
        locals: dict[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level:
            package = str((globals or {}).get("__package__"))
            absolute = importlib.util.resolve_name("." * level + name, package)
            name = absolute.removeprefix(f"{self.prefix}.")
        if name.partition(".")[0] not in self.names:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = self.load(name)
        if not fromlist:
            return self.load(name.partition(".")[0])
        for each in fromlist:
            if each != "*" and not hasattr(module, each) and hasattr(module, "__path__"):
                self.load(f"{name}.{each}")
        return module


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
