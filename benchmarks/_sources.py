"""Which sources a benchmark ran, as one digest: its module, and what it imports of the project."""

import ast
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = ("benchmarks", "flows", "models", "tasks")
STARTED = "STARTED"
"""Name of a constant by which a module says what it starts in processes of its own, or imports by
names that it finds: packages of the project, all of whose modules count."""


def main_module() -> str:
    """The benchmark that runs, ``benchmarks.dcec``; empty if none does."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = spec.name if spec else ""
    return name if name.split(".")[0] == "benchmarks" else ""


def digest(module: str, root: Path = ROOT) -> str:
    """Digest of what the sources of a module do: comments, docstrings and layout do not count.

    Args:
        module: Its name, ``benchmarks.dcec``.
        root: Folder of the project.
    """
    found = hashlib.sha256()
    for path in sources(module, root):
        found.update(f"{path.relative_to(root)} {_read(path.read_text())[0]}\n".encode())
    return found.hexdigest()[:32]


def sources(module: str, root: Path = ROOT) -> list[Path]:
    """Files of a module of the project and of all that it imports of it, followed through."""
    seen: set[Path] = set()
    waiting = list(_files(module, root))
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in _read(path.read_text())[1]:
            waiting.extend(_files(name, root))
    return sorted(seen)


@cache
def _read(text: str) -> tuple[str, tuple[str, ...]]:
    """Digest of what a source does, and the modules that it names."""
    tree = ast.parse(text)
    return hashlib.sha256(_meaning(tree).encode()).hexdigest(), tuple(_imported(tree))


def _files(module: str, root: Path) -> Iterator[Path]:
    """The file of a module, those of the packages around it; all of one that ends in ``.*``."""
    parts = module.removesuffix(".*").split(".")
    if parts[0] not in PROJECT:
        return
    for length in range(1, len(parts) + 1):
        base = root.joinpath(*parts[:length])
        yield from (
            path for path in (base.with_suffix(".py"), base / "__init__.py") if path.exists()
        )
    if module.endswith(".*"):
        yield from root.joinpath(*parts).rglob("*.py")


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == STARTED:
            yield from (f"{name}.*" for name in ast.literal_eval(node.value))


def _meaning(node: object) -> str:
    """A syntax tree as text, the same in all versions of Python that read the same from a file."""
    if isinstance(node, list):
        return "[" + ",".join(_meaning(each) for each in node if not _is_docstring(each)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = (
        f"{name}={_meaning(value)}"
        for name, value in ast.iter_fields(node)
        if value not in (None, []) and name not in ("ctx", "kind", "type_comment")
    )
    return f"{type(node).__name__}({','.join(fields)})"


def _is_docstring(node: object) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
