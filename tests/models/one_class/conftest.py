"""Find the detectors: every public file of ``models/one_class`` defines exactly one."""

import pytest
import torch

from models import one_class
from models.encoders.pixels import Pixels
from tests.models.conftest import noise
from tests.models.on_disk import models_of
from tests.models.tiny import Tiny

SMALL_ALOCC = {"patch": 12, "stride": 6, "width": 8, "depth": 1, "num_steps": 12}
SMALL_ALOCC |= {
    "num_snapshots": 2,
    "contrast_steps": 4,
    "refiner_rate": 1e-3,
    "discriminator_rate": 1e-2,
}
SETTINGS = {
    "ALOCC": [SMALL_ALOCC],
    "DeepSVDD": [{"side": 12, "pretrain_epochs": 0, "epochs": 8, "batch_size": 8}],
    "NearestNeighbours": [{}, {"per_place": True}],
    "SimpleNet": [{"num_steps": 60, "width": 32}],
}
"""With which a detector is held to the promises; the defaults if it is not named here."""
FROM_PIXELS = {"ALOCC", "DeepSVDD"}
"""Those that learn from images end to end."""
SLOW = {"ALOCC", "DeepSVDD", "SimpleNet"}
"""Those that tell anomalies only after more steps than are taken here; their own tests show it."""


def pytest_generate_tests(metafunc):
    """One case for each class and its settings."""
    if "detector_class" not in metafunc.fixturenames:
        return
    cases = [
        (found, settings)
        for found in models_of(one_class)
        for settings in SETTINGS.get(found.__name__, [{}])
    ]
    made = [
        (found, found.Config(**settings), found.__name__ in FROM_PIXELS)
        for found, settings in cases
    ]
    names = [found.__name__ + "-per-place" * ("per_place" in given) for found, given in cases]
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


@pytest.fixture
def detects(detector_class):
    if detector_class.__name__ in SLOW:
        pytest.skip("This detector needs more steps to tell anomalies; its own tests take them.")
