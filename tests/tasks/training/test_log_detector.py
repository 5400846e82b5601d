import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from tasks.packaging import copy_sources
from tasks.training import log_detector


def test_the_requirements_name_every_package_that_a_detector_imports():
    root = Path(log_detector.__file__).parents[2]
    roots = [root / "tasks" / name for name in copy_sources.READER]
    roots += [
        path
        for family in ("encoders", "one_class", "clustering", "density")
        for path in (root / "models" / family).iterdir()
    ]
    waiting, seen, third_party = [*roots, log_detector.SCRIPT], set(), set()
    while waiting:
        path = waiting.pop()
        if path in seen or path.suffix != ".py":
            continue
        seen.add(path)
        for name in imported(path):
            if name.partition(".")[0] in {"models", "tasks"}:
                waiting.append(root.joinpath(*name.split(".")).with_suffix(".py"))
            else:
                third_party.add(name.partition(".")[0])
    owners, named = packages_distributions(), {*log_detector.REQUIREMENTS, *log_detector.OPTIONAL}
    unnamed = {
        name for name in third_party - sys.stdlib_module_names if not {*owners[name]} & named
    }
    assert unnamed == set()


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
