import gc
from dataclasses import replace

import numpy as np
import pytest

from models.errors import InvalidInputError, RegistryError
from tasks.packaging import package
from tasks.serving.deployed import spare_the_loaded, warm
from tests.tasks.deployed import package_of


@pytest.fixture
def packaged(settled):
    return package.load(package_of())


def test_a_detector_is_tried_before_it_answers(packaged):
    found = warm("squares", 1, packaged)
    assert (found.name, found.version, found.packaged) == ("squares", 1, packaged)
    with pytest.raises(InvalidInputError, match="needs 999 calibration clips"):
        warm("squares", 1, packaged, false_alarm_rate=0.001)


def test_a_detector_that_scores_no_number_never_answers(packaged, monkeypatch):
    before = packaged.forward
    monkeypatch.setattr(
        packaged,
        "forward",
        lambda *given: replace(before(*given), image_score=np.array([np.inf])),
    )
    with pytest.raises(RegistryError, match="must score a window of noise with a number"):
        warm("squares", 1, packaged)


def test_what_is_loaded_is_collected_no_more():
    try:
        spare_the_loaded()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
