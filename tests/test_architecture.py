"""The shape of the code base: layers point down, tests mirror, files stay short."""

import ast
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
"""A method's file in ``models`` reads like its paper, in one place."""
SOURCES = [path for layer in MAY_IMPORT for path in sorted((ROOT / layer).rglob("*.py"))]

each_source = pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def has_behaviour(path):
    tree = ast.walk(ast.parse(path.read_text()))
    return any(isinstance(node, ast.Return | ast.Raise) for node in tree)


@each_source
def test_imports_point_down(path):
    layer = path.relative_to(ROOT).parts[0]
    forbidden = MAY_IMPORT.keys() - MAY_IMPORT[layer]
    if layer == "models":
        forbidden |= KEPT_OUT_OF_MODELS
    assert not forbidden & set(imports(path))


@each_source
def test_nothing_can_unpickle(path):
    assert not UNSAFE & set(imports(path))


@each_source
def test_files_stay_short(path):
    assert len(path.read_text().splitlines()) <= MAX_LINES[path.relative_to(ROOT).parts[0]]


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


def test_the_lock_names_no_address():
    assert "://" not in (ROOT / "requirements.lock").read_text()
