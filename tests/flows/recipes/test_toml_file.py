import pytest

from flows import recipes
from flows.recipes import toml_file
from models.errors import InvalidInputError, NotFoundError
from tests.flows.conftest import RECIPE


@pytest.mark.parametrize("name", [*recipes.names(), RECIPE])
def test_every_recipe_survives_the_way_through_a_file(name, tmp_path):
    recipe = recipes.load(name)
    path = tmp_path / "mine.toml"
    path.write_text(toml_file.write(recipe))
    assert recipes.load(str(path)) == recipe


def test_every_field_says_what_it_means():
    text = toml_file.write(recipes.load("digits"))
    assert "[training]" in text
    assert "batch_size = 32" in text
    assert "# Height and width in pixels that every frame is resized to" in text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "batch_size",
            "batchsize",
            r"(?s)mine\.toml: There is no field 'training\.batchsize'.*seed",
        ),
        ("batch_size = 32", 'batch_size = "many"', r"training\.batch_size must be int, got 'many'"),
        ("batch_size = 32", "batch_size = 0", "batch_size must be at least 1, got 0"),
        ("batch_size = 32", "batch_size = = 32", "must be TOML, and is not.*line"),
        ("DeepAnomaly.Config", "DeepAnomalies.Config", "names the class .*DeepAnomalies"),
        ('dataset = "digits"', "", "lacks .*dataset"),
    ],
)
def test_a_mistake_in_the_file_is_said_by_its_place(tmp_path, old, new, said):
    text = toml_file.write(recipes.load("digits"))
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(InvalidInputError, match=said):
        recipes.load(str(path))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NotFoundError, match=r"none\.toml must exist"):
        recipes.load(str(tmp_path / "none.toml"))
