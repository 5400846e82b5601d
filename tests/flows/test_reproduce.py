"""A tiny champion is trained again; then its record is tampered with in several ways."""

import json
import shutil

import mlflow
import pytest
from safetensors.torch import load_file, save_file

from flows.reproduce import reproduce
from flows.retrain import retrain
from models.errors import DataError, NotFoundError, RegistryError
from tasks import objects, package, project, registry, tracking
from tasks.agreement import Tolerance
from tasks.trace import trace
from tests.flows.conftest import RECIPE

POOLED = RECIPE.replace(":tiny", ":pooled")


@pytest.fixture(scope="module")
def champion(workplace):
    return retrain(RECIPE, workplace / "incoming")


@pytest.fixture(scope="module")
def first(champion):
    return reproduce("tiny")


def test_a_champion_comes_out_bit_for_bit(first):
    assert first.verdict == "identical", (first.tensors, first.metrics)
    names = {each.name for each in first.tensors}
    assert {name.partition(".")[0] for name in names} == {"weights", "statistics", "calibration"}
    assert {"image_auroc", "threshold"} <= {each.name for each in first.metrics}
    assert all(each.then == each.now for each in first.metrics)
    assert first.environment_then == first.environment_now
