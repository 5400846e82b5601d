"""Find the adapters: every public file of ``models/adaptation`` defines one class with a Config."""

import pytest
import torch

from models import adaptation
from models.contracts import AdapterConfig
from tests.models.on_disk import models_of
from tests.models.tiny import Tiny


def adapters():
    """Those that adapt an encoder; a classifier with labels keeps other promises."""
    for found in models_of(adaptation):
        if not issubclass(found, torch.nn.Module):
            assert isinstance(found.Config(), AdapterConfig)
            yield found


def pytest_generate_tests(metafunc):
    if "adapter_class" in metafunc.fixturenames:
        metafunc.parametrize("adapter_class", list(adapters()), ids=lambda cls: cls.__name__)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Tiny()


@pytest.fixture
def bright():
    return 0.5 + torch.rand(24, 1, 12, 12, generator=torch.Generator().manual_seed(0)) / 2


@pytest.fixture
def dark():
    return torch.rand(20, 1, 12, 12, generator=torch.Generator().manual_seed(1)) / 2
