"""What counts as code: on a small package of a user's own, edited line by line."""

import importlib
import sys
import textwrap

import pytest

from tasks.platform import source_digests

FILES = {
    "mine/__init__.py": "",
    "mine/detector.py": """
        '''What it is.'''
        from functools import singledispatch
        from typing import TYPE_CHECKING

        import mine.whole
        from mine import parts
        from mine.parts import base
        from .relative import near

        if TYPE_CHECKING:
            from mine.unrelated import nothing

        FACTOR = 2
        OTHER = 3

        class Detector(base.Base):
            '''A detector.'''

            def score(self):
                from mine.late import late
                return FACTOR * near() + parts.used() + late() + mine.whole.anything() + shown(1)

        @singledispatch
        def shown(value):
            return 0

        @shown.register
        def _(value: int):
            return 1

        def recipe():
            from mine.unrelated import nothing
            return Detector(), OTHER
    """,
    "mine/parts/__init__.py": """
        def used():
            return 1

        def unused():
            return 2
    """,
    "mine/parts/base.py": "class Base:\n    size = 1\n",
    "mine/relative.py": "def near():\n    return 1\n",
    "mine/late.py": "def late():\n    return 1\n",
    "mine/whole.py": "def anything():\n    return 1\n",
    "mine/unrelated.py": "def nothing():\n    return 1\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The package on disk, importable."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    source_digests._source.cache_clear()
    yield tmp_path
    for name in [each for each in sys.modules if each.partition(".")[0] == "mine"]:
        del sys.modules[name]
    source_digests._source.cache_clear()


@pytest.fixture
def detector(package):
    return importlib.import_module("mine.detector").Detector


@pytest.mark.parametrize(
    ("file", "before", "after", "module"),
    [
        ("mine/detector.py", "return FACTOR", "return 1 + FACTOR", "mine.detector"),
        ("mine/detector.py", "FACTOR = 2", "FACTOR = 4", "mine.detector"),
        ("mine/detector.py", "(value: int):\n    return 1", "(value: int):\n    return 5", None),
        ("mine/parts/__init__.py", "return 1", "return 3", "mine.parts"),
        ("mine/parts/base.py", "size = 1", "size = 2", "mine.parts.base"),
        ("mine/relative.py", "return 1", "return 2", "mine.relative"),
        ("mine/late.py", "return 1", "return 2", "mine.late"),
        ("mine/whole.py", "return 1", "return 2", "mine.whole"),
    ],
)
def test_a_change_of_what_a_class_needs_changes_its_digest(
    package, detector, file, before, after, module
):
    digests = source_digests.digests(detector)
    path = package / file
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    now = source_digests.digests(detector)
    assert {name for name in now if now[name] != digests[name]} == {module or "mine.detector"}


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("mine/detector.py", "OTHER = 3", "OTHER = 4"),
        ("mine/detector.py", "return Detector()", "return None"),
        ("mine/detector.py", "What it is", "What it was"),
        ("mine/parts/__init__.py", "return 2", "return 3"),
        ("mine/unrelated.py", "return 1", "return 2"),
    ],
)
def test_a_change_of_anything_else_does_not(package, detector, file, before, after):
    version = source_digests.version(detector)
    path = package / file
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    assert source_digests.version(detector) == version


def test_a_class_can_be_named_and_a_module_is_meant_whole(package, detector):
    by_name = source_digests.digests("mine.detector.Detector.Config")
    assert by_name == source_digests.digests(detector)
    assert "mine.unrelated" in source_digests.digests("mine.detector")


def test_of_this_project_only_what_computes_is_followed():
    from tasks.training.fit import fit

    found = source_digests.digests(fit.fn)
    assert {"tasks.training.fit", "tasks.data.snapshots", "models.errors"} <= found.keys()
    rooms = {name.split(".")[1] for name in found if name.startswith("tasks.")}
    assert rooms == {"data", "packaging", "training"}
    assert {name.partition(".")[0] for name in found} == {"models", "tasks"}
