"""What every family's contract is tested with; a family's own conftest replaces what does not fit.

A family that takes other images than these (in [0, 1], of a certain size) replaces ``normal``,
``held_out``, ``anomalous`` and ``wide``; one that takes another encoder replaces ``encoder``.
"""

from copy import deepcopy

import pytest
import torch

from tests.models.tiny import Tiny


def noise(num, seed):
    """Images of uniform noise."""
    return torch.rand(num, 1, 12, 12, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def config(detector_class):
    """Hyper-parameters that the contract is tested with: the defaults."""
    return detector_class.Config()


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Tiny()


@pytest.fixture
def detector(config, encoder):
    return config.build(encoder)


@pytest.fixture(scope="module")
def fits():
    """Fitted models of a file by class, each fitted once."""
    return {}


@pytest.fixture
def fitted(detector_class, detector, normal, held_out, fits):
    """A copy of the fitted model, so that no test meets what another has done to it."""
    if detector_class not in fits:
        torch.manual_seed(1)
        fits[detector_class] = deepcopy(detector).fit([normal], [held_out])
    return deepcopy(fits[detector_class])


@pytest.fixture
def normal():
    return noise(32, 0)


@pytest.fixture
def held_out():
    return noise(24, 1)


@pytest.fixture
def anomalous(normal):
    """Images that no detector of the family may take for normal, one for each normal one."""
    return normal + 5


@pytest.fixture
def wide(held_out):
    """Calibration images that vary more than ``held_out``, so that thresholds must be looser."""
    return (held_out - 0.5) * 3 + 0.5
