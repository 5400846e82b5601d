import contextlib
import json

import pytest

from models.errors import InvalidInputError, NotFoundError
from tasks.registry import mlflow_store
from tasks.training.champion_encoder import inherit
from tests.tasks.deployed import damaged, package_of, tagged

RECIPE = {
    "name": "squares",
    "encoder": {"class": "Pool", "sides": (4, 4)},
    "pretext": None,
    "training": {"seed": 0, "image_size": (16, 24), "device": "cpu"},
    "detector": {"shrinkage": 0.01},
}


@contextlib.contextmanager
def trained_by(recipe):
    """A champion that another recipe made, as its tags tell when its files are lost."""
    with damaged(package_of() / "lineage.json"), tagged(recipe=json.dumps(recipe)):
        yield


def test_the_champions_encoder_is_that_of_its_pretext_run(settled):
    with trained_by(RECIPE):
        found = inherit.fn("squares", RECIPE)
    tags = mlflow_store.client().get_model_version("squares", "1").tags
    assert found.run_id == tags["unseen.pretext_run_id"]
    assert found.model_uri == f"runs:/{found.run_id}/encoder"
    assert found.data_digest == settled.clips.digest


def test_device_and_detector_may_differ(settled):
    other = {
        **RECIPE,
        "training": {**RECIPE["training"], "device": "cuda"},
        "detector": {"shrinkage": 0.5},
    }
    with trained_by(RECIPE):
        assert inherit.fn("squares", other) == inherit.fn("squares", RECIPE)


@pytest.mark.parametrize("part", ["encoder", "pretext", "training"])
def test_a_recipe_that_would_train_another_encoder_is_refused(settled, part):
    with trained_by(RECIPE), pytest.raises(InvalidInputError, match=f"and {part}"):
        inherit.fn("squares", {**RECIPE, part: {"seed": 1}})


def test_without_a_champion_there_is_nothing_to_inherit(settled):
    with pytest.raises(NotFoundError):
        inherit.fn("circles", RECIPE)


def test_a_setting_that_came_later_had_its_default_before(settled):
    known = {"class": "tasks.records.Training", "seed": 0}
    with trained_by({**RECIPE, "training": known}):
        later = {**RECIPE, "training": {**known, "calibration": "held-out", "smoothing": 1}}
        assert inherit.fn("squares", later) == inherit.fn("squares", {**RECIPE, "training": known})
        other = {**RECIPE, "training": {**known, "calibration": "cross"}}
        with pytest.raises(InvalidInputError, match="and training"):
            inherit.fn("squares", other)
