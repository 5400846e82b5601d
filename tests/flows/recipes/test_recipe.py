import json

import pytest

from flows import recipes
from models.errors import InvalidInputError


def test_a_description_is_json_and_names_every_class():
    described = json.loads(json.dumps(recipes.describe(recipes.digits())))
    assert described["class"] == "flows.recipes.recipe.Recipe"
    assert described["training"]["class"] == "tasks.records.Training"
    assert described["detector"]["layer"]["class"].endswith("Config")


def test_only_what_adds_up_can_be_divided():
    recipes.check_divisible(recipes.walkway(), 1)
    recipes.check_divisible(recipes.walkway_pooled(), 2)
    with pytest.raises(InvalidInputError, match=r"DeepAnomaly of .*'digits' learns more"):
        recipes.check_divisible(recipes.digits(), 2)
