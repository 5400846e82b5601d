"""Find the clusterers: every public file of ``models/clustering`` defines exactly one."""

import functools

import pytest
import torch

from models import clustering
from tests.models.on_disk import models_of
from tests.models.tiny import Tiny

SMALL = {"num_clusters": 2, "side": 8, "embedding_dim": 3, "epochs": 12, "batch_size": 8}
SMALL |= {"max_iterations": 12, "update_interval": 5}
"""Defaults under test: the real ones train for minutes."""


def pytest_generate_tests(metafunc):
    if "detector_class" in metafunc.fixturenames:
        metafunc.parametrize(
            "detector_class", list(models_of(clustering)), ids=lambda cls: cls.__name__
        )


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for found in models_of(clustering):
        monkeypatch.setattr(found, "Config", functools.partial(found.Config, **SMALL))


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Tiny()


@pytest.fixture
def normal():
    return two_kinds(32, seed=0)


@pytest.fixture
def held_out():
    return two_kinds(24, seed=1)


def two_kinds(num, seed):
    """Noise that is bright in its left or in its right half, by turns."""
    images = 0.2 * torch.rand(num, 1, 12, 12, generator=torch.Generator().manual_seed(seed))
    images[::2, :, :, :6] += 0.7
    images[1::2, :, :, 6:] += 0.7
    return images
