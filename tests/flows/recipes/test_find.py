import pytest

from flows import recipes
from models.errors import InvalidInputError, NotFoundError, UnseenError
from tests.flows.conftest import RECIPE


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        NotFoundError, match=r"There is no recipe 'srews'\. Choose from: digit_clusters, digits"
    ):
        recipes.load("srews")


def test_a_users_own_file_works_without_touching_ours():
    assert recipes.load(RECIPE).name == "tiny"


def test_an_override_of_none_keeps_the_recipes_own():
    assert recipes.load("walkway", seed=None).training.seed == 0
    assert recipes.load("walkway", seed=7).training.seed == 7


def test_a_missing_file_and_a_missing_name_are_clear_errors():
    with pytest.raises(NotFoundError, match=r"The recipe file nowhere\.py must exist"):
        recipes.load("nowhere.py:tiny")
    with pytest.raises(NotFoundError, match="Choose from: pooled, tiny"):
        recipes.load(RECIPE.replace(":tiny", ":other"))


def test_a_device_that_does_not_exist_is_refused():
    with pytest.raises(UnseenError, match="device"):
        recipes.load("walkway", device="abacus")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def mine(:\n", r"mine\.py must run, and stops at line 1: invalid syntax"),
        ("x = 1\n\nraise KeyError('a')\n", r"stops at line 3: KeyError: 'a'"),
        ("def mine():\n    return 1 / 0\n", r"stops at line 2: ZeroDivisionError: division"),
        ("def mine():\n    return 3\n", r"must return a flows\.recipes\.Recipe, got int"),
        (
            "from tasks.records import Training\ndef mine():\n    return Training(batch_size=0)\n",
            r"stops at line 3: batch_size must be at least 1, got 0",
        ),
    ],
)
def test_a_mistake_in_a_users_file_is_said_once_with_its_line(tmp_path, source, said):
    path = tmp_path / "mine.py"
    path.write_text(source)
    with pytest.raises(InvalidInputError, match=said):
        recipes.load(f"{path}:mine")


def test_a_function_is_found_by_what_it_returns_not_by_its_annotation(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from flows.recipes import load\ndef mine(name='digits'):\n    return load(name)\n"
    )
    assert recipes.load(f"{path}:mine") == recipes.load("digits")
