"""Find the detectors: every public file of ``models/one_class`` defines exactly one."""

import pytest
import torch

from models import one_class
from models.encoders.pixels import Pixels
from tests.models.conftest import noise
from tests.models.on_disk import models_of
from tests.models.tiny import Tiny

ADVERSARIAL = {"patch": 12, "stride": 6, "width": 8, "depth": 1, "num_steps": 60}
ADVERSARIAL |= {"refiner_rate": 1e-3, "discriminator_rate": 1e-3}
SETTINGS = {
    "ALOCC": ADVERSARIAL,
    "OGNet": {**ADVERSARIAL, "num_snapshots": 2, "contrast_steps": 60},
    "DeepSVDD": {"side": 12, "batch_size": 8},
    "SimpleNet": {"num_steps": 60, "width": 32},
}
"""With which a detector is held to the promises; the defaults if it is not named here."""
FROM_PIXELS = {"ALOCC", "OGNet", "DeepSVDD"}
"""Those that learn from images end to end."""


def pytest_generate_tests(metafunc):
    """One case for each class and its settings."""
    if "detector_class" not in metafunc.fixturenames:
        return
    found = list(models_of(one_class))
    made = [
        (each, each.Config(**SETTINGS.get(each.__name__, {})), each.__name__ in FROM_PIXELS)
        for each in found
    ]
    names = [each.__name__ for each in found]
    metafunc.parametrize(("detector_class", "config", "from_pixels"), made, ids=names)


@pytest.fixture
def from_pixels():
    return False


@pytest.fixture
def encoder(from_pixels):
    torch.manual_seed(0)
    return (Pixels.Config() if from_pixels else Tiny.Config()).build()


def bars(num, seed, *, upright=True):
    """Noisy bars with a phase of their own, which a network can learn; in [0, 1]."""
    draw = torch.Generator().manual_seed(seed)
    phase = 6 * torch.rand(num, 1, 1, 1, generator=draw)
    wave = (torch.arange(12.0) * 1.5 + phase).sin() * 0.4 + 0.5
    images = wave.expand(num, 1, 12, 12) + 0.05 * torch.randn(num, 1, 12, 12, generator=draw)
    return (images if upright else images.mT).clamp(0, 1)


@pytest.fixture
def normal(from_pixels):
    return bars(32, 0) if from_pixels else noise(32, 0)


@pytest.fixture
def held_out(from_pixels):
    return bars(24, 1) if from_pixels else noise(24, 1)


@pytest.fixture
def anomalous(from_pixels, normal):
    return bars(32, 2, upright=False) if from_pixels else normal + 5


@pytest.fixture
def wide(from_pixels, held_out):
    if from_pixels:
        others = bars(6, 3, upright=False), noise(6, 4), torch.zeros(6, 1, 12, 12)
        return torch.cat([held_out[:6], *others])
    return (held_out - 0.5) * 3 + 0.5
