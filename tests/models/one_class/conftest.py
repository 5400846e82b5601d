"""Find the detectors: every public file of ``models/one_class`` defines exactly one."""

import importlib
import pkgutil

import pytest
import torch

from models import one_class
from tests.models.tiny import Tiny


def detectors():
    names = [m.name for m in pkgutil.iter_modules(one_class.__path__) if m.name[0] != "_"]
    for name in names:
        module = importlib.import_module(f"models.one_class.{name}")
        (found,) = (
            thing
            for thing in vars(module).values()
            if getattr(thing, "__module__", None) == module.__name__ and hasattr(thing, "Config")
        )
        yield found


def pytest_generate_tests(metafunc):
    if "detector_class" in metafunc.fixturenames:
        metafunc.parametrize("detector_class", list(detectors()), ids=lambda cls: cls.__name__)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Tiny()


@pytest.fixture
def normal():
    return torch.rand(32, 1, 12, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def held_out():
    return torch.rand(24, 1, 12, 12, generator=torch.Generator().manual_seed(1))
