"""The shape of the code base: layers point down, tests mirror, files stay short."""

import ast
import functools
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "models": {"models"},
    "tasks": {"tasks", "models"},
    "flows": {"flows", "tasks", "models"},
}
KEPT_OUT_OF_MODELS = {"mlflow", "prefect", "dvc", "dvc_data", "great_expectations", "pandas"}
UNSAFE = {"pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal"}
MAX_LINES = {"models": 620, "tasks": 300, "flows": 300}
"""A method of ``models`` reads like its paper in one file."""
ROOMS = (
    "records",
    "platform",
    "notices",  # whatever happens in any room may be told to somebody
    "packaging",
    "registry",
    "data",
    "training",
    "evaluation",
    "lineage",
    "serving",
    "watching",  # it scores as a server does, with its parts
    "feedback",  # what was served is judged here, on the page too
    "console",
    "housekeeping",
)
"""Of ``tasks``: a room imports itself and the rooms before it."""
SOURCES = [path for layer in MAY_IMPORT for path in sorted((ROOT / layer).rglob("*.py"))]

each_source = pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))


@functools.cache
def seen(path):
    """What a file imports, as pairs of module and name, and whether it returns or raises."""
    found, behaves = [], False
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.module or "", alias.name) for alias in node.names]
        behaves |= isinstance(node, ast.Return | ast.Raise)
    return found, behaves


def imports(path):
    return {module.split(".")[0] for module, _ in seen(path)[0]}


def has_behaviour(path):
    return seen(path)[1]


@each_source
def test_imports_point_down(path):
    layer = path.relative_to(ROOT).parts[0]
    forbidden = MAY_IMPORT.keys() - MAY_IMPORT[layer]
    if layer == "models":
        forbidden |= KEPT_OUT_OF_MODELS
    assert not forbidden & imports(path)


def imported_modules(path):
    """Names of modules and of what is taken from them, as far as they are of this project."""
    return {f"{module}.{name}" if name else module for module, name in seen(path)[0]}


def room(module):
    top, _, rest = module.partition(".")
    return rest.partition(".")[0] if top == "tasks" else None


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if path.is_relative_to(ROOT / "tasks")],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_a_room_imports_no_later_room(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    here = room(module)
    if here == "__init__":
        return
    assert here in ROOMS, f"{path} stands in no room"
    later = set(ROOMS[ROOMS.index(here) + 1 :])
    if here == "housekeeping":
        later = {"console"}
    entered = {room(name) for name in imported_modules(path)} - {None}
    assert not entered & later


def circle(graph):
    """Nodes that lead back to the first of them; empty if there are none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_a_circle_is_seen():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert circle({"a": {"b"}, "b": set()}) == []


def test_imports_have_no_cycle():
    known = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in SOURCES}
    graph = {}
    for name, path in known.items():
        tree = ast.parse(path.read_text())
        found = set()
        for node in tree.body:  # late imports cannot be part of a cycle at import
            if isinstance(node, ast.ImportFrom) and node.module:
                taken = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= (taken | {node.module}) & known.keys()
        graph[name] = found
    assert circle(graph) == []


@each_source
def test_names_of_tags_stand_in_one_file(path):
    assert path.name == "tags.py" or not re.search(r"\{TAG\}\w", path.read_text())


@each_source
def test_nothing_can_unpickle(path):
    assert not UNSAFE & imports(path)


@each_source
def test_files_stay_short(path):
    layer = path.relative_to(ROOT).parts[0]
    assert len(path.read_text().splitlines()) <= MAX_LINES[layer]


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if has_behaviour(path)],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_every_file_with_behaviour_has_a_mirror_test(path):
    relative = path.relative_to(ROOT)
    assert (ROOT / "tests" / relative.parent / f"test_{relative.name}").exists()


def test_models_import_nothing_late():
    # A packaged model runs its own copy of these sources, which leave ``sys.modules`` once they
    # are imported: a later ``import models...`` inside a function would meet another version.
    for path in (ROOT / "models").rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                late = [n for n in ast.walk(function) if isinstance(n, ast.ImportFrom)]
                assert not [n for n in late if (n.module or "").startswith("models")], path


def test_all_models_are_trained_by_one_loop():
    paths = (ROOT / "models").rglob("*.py")
    loops = [path.relative_to(ROOT) for path in paths if ".backward(" in path.read_text()]
    assert loops == [Path("models/training.py")]


@pytest.mark.parametrize("name", ["requirements.lock", "tasks/serving/requirements.lock"])
def test_the_locks_name_no_address(name):
    assert "://" not in (ROOT / name).read_text()
