import sys
import types

import pytest

from benchmarks._sources import digest, main_module, sources


@pytest.fixture
def project(tmp_path):
    """A benchmark that imports a model, which imports another one."""
    files = {
        "benchmarks/__init__.py": "",
        "benchmarks/one.py": "import json\nfrom models.first import Model\nLIMIT = 3\n",
        "benchmarks/starts.py": 'STARTED = ("flows",)\n',
        "models/__init__.py": "",
        "models/first.py": '"""A model."""\nfrom models import second\ndef fit():\n    return 1\n',
        "models/second.py": "value = 2\n",
        "models/other.py": "value = 3\n",
        "flows/deep/cli.py": "import models.other\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def names(module, project):
    return [str(path.relative_to(project)) for path in sources(module, project)]


def test_imports_are_followed_through_the_project(project):
    assert names("benchmarks.one", project) == [
        "benchmarks/__init__.py",
        "benchmarks/one.py",
        "models/__init__.py",
        "models/first.py",
        "models/second.py",
    ]


def test_what_is_started_in_processes_of_its_own_counts_too(project):
    assert {"flows/deep/cli.py", "models/other.py"} <= set(names("benchmarks.starts", project))


def test_the_digest_follows_what_sources_do_and_not_how_they_look(project):
    before = digest("benchmarks.one", project)
    (project / "models/other.py").write_text("value = 4\n")
    first = project / "models/first.py"
    first.write_text(
        '"""Another text."""\n# why\nfrom models import second\ndef fit():\n  return 1\n'
    )
    assert digest("benchmarks.one", project) == before
    first.write_text("from models import second\ndef fit():\n  return 2\n")
    assert digest("benchmarks.one", project) != before


def test_a_file_more_is_another_digest(project):
    before = digest("benchmarks.one", project)
    (project / "models/first.py").write_text(
        "from models import second, other\ndef fit():\n return 1"
    )
    assert digest("benchmarks.one", project) != before


def test_only_a_benchmark_is_the_main_module(monkeypatch):
    for name, expected in (("benchmarks.dcec", "benchmarks.dcec"), ("pytest.__main__", "")):
        main = types.SimpleNamespace(__spec__=types.SimpleNamespace(name=name))
        monkeypatch.setitem(sys.modules, "__main__", main)
        assert main_module() == expected
