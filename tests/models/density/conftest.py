"""Find the density models: every public file of ``models/density`` defines exactly one."""

import dataclasses

import pytest
import torch

from models import density
from models.encoders.pixels import Pixels
from tests.models.on_disk import models_of

SMALL = {
    "image_size": (12, 12),
    "width": 8,
    "vertical_width": 8,
    "depth": 1,
    "code_dim": 8,
    "bins": 10,
    "estimator_width": 4,
    "epochs": 20,
    "batch_size": 16,
}
"""Sizes at which a fit takes no second; a model takes those that its Config has."""


def pytest_generate_tests(metafunc):
    if "detector_class" in metafunc.fixturenames:
        metafunc.parametrize(
            "detector_class", list(models_of(density)), ids=lambda cls: cls.__name__
        )


def small(detector_class):
    """A Config of the class for images of 12 x 12 pixels."""
    names = {field.name for field in dataclasses.fields(detector_class.Config)}
    return detector_class.Config(**{k: v for k, v in SMALL.items() if k in names})


def stripes(num, seed):
    """Bright stripes at a random height on black: (num, 1, 12, 12)."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.zeros(num, 1, 12, 12)
    for image, row in zip(images, torch.randint(1, 9, (num,), generator=draw), strict=True):
        image[:, row : row + 3] = 0.9
    return images


@pytest.fixture
def config(detector_class):
    return small(detector_class)


@pytest.fixture
def encoder():
    return Pixels.Config().build()


@pytest.fixture
def normal():
    return stripes(48, 0)


@pytest.fixture
def held_out():
    return stripes(24, 1)
