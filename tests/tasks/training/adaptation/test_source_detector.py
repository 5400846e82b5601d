from dataclasses import replace

import pytest

from models.errors import InvalidInputError, NotFoundError
from tasks.registry import mlflow_store
from tasks.training.adaptation.source_detector import recall
from tests.tasks.two_cameras import TRAINING


def test_a_detector_comes_with_what_it_was_made_from(two_cameras):
    source = recall.fn("first@challenger")
    version = mlflow_store.client().get_model_version("first", "1")
    assert (source.name, source.version, source.data) == ("first", 1, two_cameras.first)
    assert (source.run_id, source.model_uri) == (version.run_id, version.source)
    assert source.digest == version.tags["unseen.model_digest"]
    assert source.recipe["name"] == "first"


def test_frames_of_another_camera_will_get_the_size_of_its_own(two_cameras):
    assert recall.fn("first@1").training == replace(TRAINING, image_size=(24, 32))


def test_without_a_champion_it_says_what_there_is(two_cameras):
    with pytest.raises(NotFoundError, match="Versions: 1"):
        recall.fn("first")


def test_a_detector_that_cannot_set_its_thresholds_anew_is_refused(served):
    with pytest.raises(InvalidInputError, match="Tiny of squares version 1 cannot"):
        recall.fn("squares")
