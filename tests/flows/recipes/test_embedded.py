import pytest

from flows import recipes


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_is_complete_and_described(name):
    recipe = recipes.load(name)
    described = recipes.describe(recipe)
    assert described["detector"]["class"].endswith(".Config")
    assert recipes.names()[name]
    assert recipe.name


@pytest.mark.parametrize("name", recipes.names())
def test_the_parts_of_every_recipe_fit_each_other(name):
    recipe = recipes.load(name)
    encoder = recipe.encoder.build()
    assert recipe.detector.build(encoder).encoder is encoder
    if recipe.pretext is not None:
        assert recipe.pretext.build(encoder).encoder is encoder
