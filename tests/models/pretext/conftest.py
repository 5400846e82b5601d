"""Find the pretext tasks: every public file of ``models/pretext`` defines exactly one."""

import pytest
import torch

from models import pretext
from tests.models.on_disk import models_of
from tests.models.tiny import Tiny


def pytest_generate_tests(metafunc):
    if "task_class" in metafunc.fixturenames:
        metafunc.parametrize("task_class", list(models_of(pretext)), ids=lambda cls: cls.__name__)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Tiny()


def waves(num, channels, seed=0, side=24):
    """Stripes that move to the right by a pixel a frame; one phase each."""
    draw = torch.Generator().manual_seed(seed)
    phase = torch.rand(num, 1, 1, 1, generator=draw) * 6
    x = torch.arange(side).float() - torch.arange(channels).float()[:, None, None]
    return (0.5 + 0.4 * torch.sin(x / 2 + phase)).expand(num, channels, side, side).contiguous()


@pytest.fixture(params=[1, 3, 6], ids=["gray", "colour", "clip"])
def images(request):
    return waves(16, request.param)
