import sys
from types import ModuleType

import pytest

from models.errors import RegistryError
from tasks.packaging import copy_sources


@pytest.fixture
def module(tmp_path, monkeypatch):
    path = tmp_path / "recipe_mine.py"
    path.write_text("class Task: ...\n")
    made = ModuleType("recipe_mine")
    made.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "recipe_mine", made)
    return path


def test_a_users_own_modules_are_found_in_a_recipe_and_copied(module, tmp_path):
    recipe = {
        "class": "flows.recipes.Recipe",
        "pretext": {"class": "recipe_mine.Task.Config", "part": [{"class": "recipe_gone.A"}]},
        "detector": {"class": "models.one_class.alocc.ALOCC.Config"},
        "device": {"class": "torch.nn.Module"},
    }
    assert copy_sources.modules_of(recipe) == {"recipe_mine"}
    copy_sources.copy_sources(tmp_path / "sources", {"recipe_mine"})
    assert (tmp_path / "sources" / "recipe_mine.py").read_text() == module.read_text()
    reader = tmp_path / "sources" / "tasks"
    copied = {path.relative_to(reader).as_posix() for path in reader.rglob("*.py")}
    assert copied == set(copy_sources.READER)


def test_a_module_that_cannot_be_imported_is_refused(tmp_path):
    with pytest.raises(RegistryError, match="'nowhere_to_be_found' cannot"):
        copy_sources.copy_sources(tmp_path / "sources", {"nowhere_to_be_found"})
