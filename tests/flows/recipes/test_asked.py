from pathlib import Path

import pytest

from flows import recipes
from flows.recipes.asked import Options, asked, changed
from models.encoders.pixels import Pixels
from models.encoders.pretrained import PretrainedTrunk
from models.errors import InvalidInputError, NotFoundError
from tasks.data import versions
from tasks.data.ingest import ingest
from tests.flows.tiny import write

NOTHING = Options()


@pytest.fixture
def stripes(repository, tmp_path):
    return ingest.fn("stripes", write(tmp_path / "incoming"))


def test_without_a_word_it_is_the_walkway(repository):
    wanted = asked(None, None, None, None, NOTHING)
    assert (wanted.name, wanted.dataset) == ("walkway", "walkway")
    assert wanted.recipe == recipes.walkway()


def test_a_folder_alone_never_replaces_the_walkway(repository):
    with pytest.raises(InvalidInputError, match="Add --name, such as --name my-bottles"):
        asked(None, Path("/photos/My Bottles"), None, None, NOTHING)


def test_a_name_is_that_of_model_and_data_set_and_the_recipe_waits_for_the_data(stripes):
    wanted = asked(None, None, "stripes", None, Options(detector="padim", image_size=(64, 64)))
    assert (wanted.name, wanted.dataset, wanted.recipe) == ("stripes", "stripes", None)
    recipe = wanted.complete(stripes)
    assert type(recipe.detector).__qualname__ == "PaDiM.Config"
    assert recipe.training.image_size == (64, 64)
    assert (recipe.name, recipe.dataset) == ("stripes", "stripes")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None, None, "stripes"), ("stripes", "stripes")),
        ((None, None, "mine", "stripes"), ("mine", "stripes")),
        (("digits", None, "mine", None), ("mine", "digits")),
        (("digits", None, None, "stripes"), ("digits", "stripes")),
        (("stripes", None, None, None), ("stripes", "stripes")),
    ],
)
def test_names_of_model_and_data_set(stripes, given, expected):
    recipe, data, name, dataset = given
    wanted = asked(recipe, data, name, dataset, NOTHING)
    assert (wanted.name, wanted.dataset) == expected
    complete = wanted.complete(versions.current("stripes"))
    assert (complete.name, complete.dataset) == expected


@pytest.mark.parametrize(
    ("recipe", "options", "said"),
    [
        ("screws", NOTHING, "no recipe 'screws'"),
        (None, Options(detector="pardim"), "no detector 'pardim'"),
        (None, Options(encoder="resnet1800"), "no backbone"),
        (None, Options(pretext="jig"), "no pretext task"),
        ("digits", Options(settings=("detector.shrinking=1",)), "no field 'detector.shrinking'"),
    ],
)
def test_what_does_not_exist_is_refused_before_data_are_read(repository, recipe, options, said):
    with pytest.raises((NotFoundError, InvalidInputError), match=said):
        asked(recipe, None, "bottles" if recipe is None else None, None, options)


def test_options_change_a_recipe_and_settings_have_the_last_word():
    options = Options(
        detector="knn", seed=3, settings=("detector.num_neighbours=2", "training.seed=4")
    )
    recipe = changed(recipes.digits(), options)
    assert isinstance(recipe.encoder, PretrainedTrunk.Config)
    assert recipe.pretext is None
    assert (recipe.training.seed, recipe.detector.num_neighbours) == (4, 2)
    assert changed(recipes.digits(), Options(pretext="none")).pretext is None
    assert isinstance(changed(recipes.digits(), Options(detector="alocc")).encoder, Pixels.Config)
