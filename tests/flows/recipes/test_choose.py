from dataclasses import replace

import pytest

from flows.recipes.choose import image_size, recipe_for
from models.encoders.pretrained import PretrainedTrunk
from tasks.data.describe import SetDescription

STILLS = SetDescription(
    clips=False,
    colour=True,
    size=(512, 512),
    mixed_sizes=False,
    bits=8,
    num_train=31,
    num_train_frames=31,
    num_train_clips=0,
    num_test_normal=14,
    num_test_anomalous=32,
    kinds=("broken", "good"),
    num_masks=32,
    num_label_files=0,
    roi=False,
)


def test_still_images_in_colour_get_a_pretrained_network():
    recipe = recipe_for(STILLS, "bottles")
    assert (recipe.name, recipe.dataset) == ("bottles", "bottles")
    assert isinstance(recipe.encoder, PretrainedTrunk.Config)
    assert (recipe.training.channels, recipe.training.window) == (3, 1)
    assert recipe.training.calibration == "cross"
    assert recipe.promotion.metric == "image_auroc"
    assert recipe.expectations.min_frames_per_clip == 1  # one image may lie in a folder of its own


def test_gray_images_stay_gray():
    assert recipe_for(replace(STILLS, colour=False), "tiles").training.channels == 1


def test_clips_are_judged_by_their_movement():
    recipe = recipe_for(replace(STILLS, clips=True, num_train_clips=5), "gate")
    assert recipe.training.window == 6
    assert recipe.promotion.metric == "frame_auc"


@pytest.mark.parametrize("clips", [False, True])
def test_without_anomalies_the_terms_need_no_labels_and_no_test_images(clips):
    recipe = recipe_for(replace(STILLS, clips=clips, num_test_anomalous=0), "bottles")
    assert recipe.promotion.metric == "label_free"
    assert not recipe.expectations.anomalies
    assert recipe.expectations.min_test_images == 0


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ((256, 256), (320, 320)),
        ((4000, 6000), (256, 384)),
        ((28, 28), (320, 320)),
        (None, (320, 320)),
    ],
)
def test_images_keep_their_aspect_and_get_about_320_by_320_pixels(given, made):
    assert image_size(given) == made
