import dataclasses
from pathlib import Path

import pytest

from flows import recipes
from flows.recipes.asked import Options, asked, changed
from models.encoders.pixels import Pixels
from models.encoders.pretrained import PretrainedTrunk
from models.errors import InvalidInputError, NotFoundError
from models.one_class.patchcore import PatchCore
from tasks.data import versions
from tasks.data.ingest import ingest
from tests.flows.recipes.test_choose import STILLS
from tests.flows.tiny import write

NOTHING = Options()


def describing(**found):
    return dataclasses.replace(STILLS, **found)


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


def test_a_detector_of_still_images_judges_each_frame_of_a_clip_by_itself():
    clips = describing(clips=True, size=(144, 256), num_train_frames=909, colour=True)
    recipe = changed(recipes.walkway(), Options(detector="patchcore"), clips)
    assert (recipe.training.window, recipe.training.smoothing) == (1, 1)
    assert (recipe.training.channels, recipe.training.image_size) == (3, (256, 416))
    assert recipe.training.calibration == "held-out"  # by clips
    assert isinstance(recipe.encoder, PretrainedTrunk.Config)
    assert recipe.pretext is None
    assert not recipe.detector.by_place
    assert recipe.detector.coreset == pytest.approx(0.003)  # 5,000 of 1.5 million patches
    other = changed(recipes.ped2(), Options(detector="padim"), clips)
    assert (other.training.smoothing, other.detector.by_place) == (1, False)


def test_a_few_frames_are_remembered_as_well_as_photographs():
    clips = describing(clips=True, size=(64, 64), num_train_frames=10, colour=False)
    recipe = changed(recipes.walkway(), Options(detector="patchcore"), clips)
    assert recipe.detector.coreset == PatchCore.Config().coreset
    assert recipe.training.channels == 1


def test_a_detector_of_windows_keeps_the_windows_and_the_encoder():
    recipe = changed(recipes.walkway(), Options(detector="knn"))
    assert (recipe.training.window, recipe.encoder) == (6, recipes.walkway().encoder)


def test_of_clips_no_detector_is_chosen_by_put_in_defects():
    with pytest.raises(InvalidInputError, match="Name one: motion_gaussian judges by movement"):
        changed(recipes.walkway(), Options(detector="auto"))
