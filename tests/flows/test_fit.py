"""How a fit ends well is told by the notebook in ``test___init__``."""

import shutil

import pytest

from flows.fit import fit
from models.errors import DataValidationError, InvalidInputError
from tasks.registry import mlflow_store
from tests.flows.conftest import RECIPE


def test_bad_data_stop_a_fit_before_training(workplace):
    bad = shutil.copytree(workplace / "incoming", workplace / "bad")
    (bad / "train" / "good" / "003.png").write_bytes(b"")
    with pytest.raises(DataValidationError, match=r"003\.png"):
        fit(RECIPE, bad)
    assert mlflow_store.client().search_registered_models() == []


def test_a_folder_needs_a_name(workplace):
    with pytest.raises(InvalidInputError, match="--name"):
        fit(None, workplace / "incoming")
