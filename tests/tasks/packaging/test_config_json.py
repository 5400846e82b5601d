import importlib

import pytest

from models.errors import RegistryError
from models.one_class.padim import PaDiM
from tasks.packaging.config_json import from_json, to_json


def test_a_configuration_comes_back_as_it_was():
    config = PaDiM.Config()
    described = to_json(config)
    assert described["class"] == "models.one_class.padim:PaDiM.Config"
    assert from_json(described, importlib.import_module) == config


def test_what_would_have_to_be_pickled_is_refused():
    with pytest.raises(RegistryError, match="without pickling; got object"):
        to_json({"model": object()})
