"""What computes a result: digests of the source that functions and classes need, by module.

Imports are followed, also those inside functions, through ``models``, the rooms of ``tasks`` that
compute, and a user's own files. Of a module counts what the wanted names need: a recipe that stands
beside a detector in one file is no part of the detector.
"""

import ast
import functools
import hashlib
import importlib.util
import json
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMPUTING = ("models", "tasks.data", "tasks.evaluation", "tasks.packaging", "tasks.training")
"""Packages of ours whose code decides what a result is. The others show, serve, keep and decide."""
OURS = {"flows", "models", "tasks"}
INSTALLED = tuple(
    Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")
)
WHOLE = ""
"""Stands for all names of a module."""
Target = tuple[str, str]
"""A module, and the name in it that is needed."""
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)


def version(*roots: Any) -> str:
    """One digest, of 32 hex digits, of all that ``digests`` finds."""
    return hashlib.sha256(json.dumps(digests(*roots)).encode()).hexdigest()[:32]


def digests(*roots: Any) -> dict[str, str]:
    """First 16 hex digits of the SHA-256 of what functions and classes need, by module.

    Args:
        roots: Functions or classes, or names of them or of whole modules.
    """
    starts = [_target(root) for root in roots]
    tops = {module.partition(".")[0] for module, _ in starts} - OURS
    needed: dict[str, set[str]] = {}
    found: dict[str, str] = {}
    waiting = starts
    while waiting:
        new: dict[str, set[str]] = {}
        for module, name in waiting:
            if _counts(module, tops) and name not in needed.setdefault(module, set()):
                new.setdefault(module, set()).add(name)
        waiting = []
        for module, names in new.items():
            needed[module] |= names
            if path := _source(module):
                source = _Source.of(module, path, path.stat().st_mtime_ns)
                found[module], targets = source.slice(needed[module])
                waiting += targets
    return dict(sorted(found.items()))


def _target(root: Any) -> Target:
    if isinstance(root, str):
        parts = root.split(".")
        for length in range(len(parts), 0, -1):
            if _source(".".join(parts[:length])):
                return ".".join(parts[:length]), "".join(parts[length : length + 1])
        return root, WHOLE
    return str(root.__module__), str(root.__qualname__).partition(".")[0]


def _counts(module: str, tops: set[str]) -> bool:
    """Whether a module is one of ours that computes, or a user's own."""
    top = module.partition(".")[0]
    if top in OURS:
        return any(module == room or module.startswith(f"{room}.") for room in COMPUTING)
    place = _source(top)
    return place is not None and (
        top in tops or not any(place.is_relative_to(folder) for folder in INSTALLED)
    )


@functools.cache
def _source(module: str) -> Path | None:
    """File of a module; None if there is no such module, or it is not written in Python."""
    place = getattr(sys.modules.get(module), "__file__", None)
    if place is None:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return None
        place = spec.origin if spec else None
    return Path(place).resolve() if place and place.endswith(".py") else None


@dataclass(frozen=True, kw_only=True)
class _Statement:
    """A statement of a module."""

    text: str
    bound: frozenset[str]
    """Names that it makes or changes; empty if it is no definition and counts always."""
    registers: frozenset[str]
    """Names that its decorators use: ``@name.register`` adds to what ``name`` is."""
    uses: dict[str, frozenset[str]]
    """Names that it uses, and of what attributes; with ``WHOLE`` if it is used otherwise too."""
    imports: tuple[tuple[str, str, str], ...]
    """Name, module, and name in the module, of what it imports; ``WHOLE`` for all names."""


class _Source:
    """A parsed module."""

    def __init__(self, module: str, path: Path) -> None:
        self.text = path.read_text()
        self.package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        lines = self.text.splitlines()
        body = [each for each in ast.parse(self.text).body if not _is_idle(each)]
        self.body = [self._statement(each, lines) for each in body]
        self.made = {name for each in self.body if not each.imports for name in each.bound}

    @staticmethod
    @functools.lru_cache(maxsize=1000)
    def of(module: str, path: Path, changed: int) -> "_Source":  # noqa: ARG004 - part of the key
        """The module as it is in its file."""
        return _Source(module, path)

    def slice(self, names: Iterable[str]) -> tuple[str, list[Target]]:
        """Digest of all that names need, and what this needs of other modules."""
        needed = set(names)
        chosen = self._chosen(needed)
        known = {name for each in chosen for name in each.bound}
        if not set(names) <= known:  # the whole module is wanted, or a name that is made otherwise
            every = [target for each in self.body for _, *target in each.imports]
            return _hash([self.text]), [(module, name) for module, name in every]
        uses: dict[str, set[str]] = {}
        for each in chosen:
            for name, attributes in each.uses.items():
                uses.setdefault(name, set()).update(attributes)
        targets = [
            target
            for each in chosen
            for name, module, inner in each.imports
            if name in needed or not each.bound or each.text
            for target in _used(module, inner, uses.get(name, {WHOLE}))
        ]
        return _hash([*(each.text for each in chosen), repr(sorted(targets))]), targets

    def _chosen(self, needed: set[str]) -> list[_Statement]:
        """Statements that the needed names need, whose own names are added to them."""
        chosen: set[int] = set()
        while new := {
            place
            for place, each in enumerate(self.body)
            if place not in chosen
            and (not each.bound or (each.bound | each.registers & self.made) & needed)
        }:
            chosen |= new
            for place in new:
                needed.update(self.body[place].uses)
        return [self.body[place] for place in sorted(chosen)]

    def _statement(self, node: ast.stmt, lines: list[str]) -> _Statement:
        decorators = getattr(node, "decorator_list", [])
        first = min(each.lineno for each in [node, *decorators])
        return _Statement(
            text="" if isinstance(node, IMPORTS) else "\n".join(lines[first - 1 : node.end_lineno]),
            bound=frozenset(_bound(node)),
            registers=frozenset(name for each in decorators for name in _uses(each)),
            uses=_uses(node),
            imports=tuple(self._imports(node)),
        )

    def _imports(self, tree: ast.AST) -> Iterator[tuple[str, str, str]]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((_called(each), each.name, WHOLE) for each in node.names)
            elif isinstance(node, ast.ImportFrom):
                relative = "." * node.level + (node.module or "")
                base = importlib.util.resolve_name(relative, self.package)
                for each in node.names:
                    yield _called(each), base, WHOLE if each.name == "*" else each.name


def _used(module: str, name: str, attributes: set[str]) -> list[Target]:
    """What an import needs: of a module that is only used by its attributes, these alone."""
    inner = f"{module}.{name}" if name else module
    if not name or (_counts(module, set()) and _is_module(module, inner)):
        return [(inner, WHOLE)] if WHOLE in attributes else [(inner, each) for each in attributes]
    return [(module, name)]


def _is_module(base: str, inner: str) -> bool:
    """Whether what is imported from a package is a module of it."""
    place = _source(base)
    return place is not None and place.name == "__init__.py" and _source(inner) is not None


def _hash(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _is_idle(node: ast.stmt) -> bool:
    """A docstring, or what only a type checker sees."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, DEFINITIONS):
        return {node.name}
    if isinstance(node, IMPORTS):
        return {_called(each) for each in node.names}
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        walked = (inner for each in targets for inner in ast.walk(each))
        return {inner.id for inner in walked if isinstance(inner, ast.Name)}
    return set()


def _called(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _uses(tree: ast.AST) -> dict[str, frozenset[str]]:
    """Names in a tree, and of what attributes each; ``WHOLE`` where one stands by itself."""
    found: dict[str, set[str]] = {}
    bases = set()
    for node in ast.walk(tree):  # the outer ones come first
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.setdefault(node.value.id, set()).add(node.attr)
            bases.add(id(node.value))
        elif isinstance(node, ast.Name) and id(node) not in bases:
            found.setdefault(node.id, set()).add(WHOLE)
    return {name: frozenset(attributes) for name, attributes in found.items()}
