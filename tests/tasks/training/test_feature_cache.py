"""A refit runs the network on new images only, and learns to the last bit what a first fit does."""

import shutil

import pytest
import torch

from models.encoders.pretrained import PretrainedTrunk
from models.one_class.gaussian_features import GaussianFeatures
from models.one_class.padim import PaDiM
from tasks.platform import workspace
from tasks.registry.caching import refreshed
from tasks.training.feature_cache import cached

CPU = torch.device("cpu")
SETTINGS = {"backbone": "resnet18", "layers": ("layer1", "layer2")}


@pytest.fixture(scope="module")
def trunk():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PretrainedTrunk.Config(**SETTINGS).build()


@pytest.fixture
def runs(trunk):
    """How many images go through the network."""
    counted = []
    hook = trunk.network.register_forward_hook(lambda _, given, __: counted.append(len(given[0])))
    yield counted
    hook.remove()


def images(num, seed=0):
    return torch.rand(num, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def folder(name):
    return workspace.home() / "features" / name


def test_an_image_goes_through_the_network_once(repository, trunk, runs):
    normal = images(4)
    with cached(trunk, "bottles", CPU):
        found = [trunk(normal) for _ in range(2)]
    assert runs == [1, 1, 1, 1]
    with cached(trunk, "bottles", CPU):
        again = trunk(torch.cat([normal[2:], images(1, 1)]))
    assert len(runs) == 5
    assert torch.equal(found[0], found[1])
    assert torch.equal(again[:2], found[0][2:])
    torch.testing.assert_close(found[0], trunk(normal), rtol=1e-4, atol=1e-4)


def test_a_refresh_computes_all_anew(repository, trunk, runs):
    with cached(trunk, "bottles", CPU):
        trunk(images(2))
    with refreshed(wanted=True), cached(trunk, "bottles", CPU):
        trunk(images(2))
    assert len(runs) == 4


def test_nothing_stays_of_images_that_are_gone_and_of_other_sets_all(repository, trunk):
    for name in ("bottles", "screws"):
        with cached(trunk, name, CPU):
            trunk(images(3))
    with cached(trunk, "bottles", CPU):
        trunk(images(3)[1:])
    assert len(list(folder("bottles").iterdir())) == 2
    assert len(list(folder("screws").iterdir())) == 3


def test_a_fit_that_fails_loses_nothing(repository, trunk):
    with cached(trunk, "bottles", CPU):
        trunk(images(3))
    with pytest.raises(ZeroDivisionError), cached(trunk, "bottles", CPU):
        1 / 0  # noqa: B018
    assert len(list(folder("bottles").iterdir())) == 3
    assert "feature_maps" not in vars(trunk)


def test_damaged_features_are_computed_again(repository, trunk, runs):
    with cached(trunk, "bottles", CPU):
        before = trunk(images(1))
    (path,) = folder("bottles").iterdir()
    path.write_bytes(path.read_bytes()[:-7])
    with cached(trunk, "bottles", CPU):
        assert torch.equal(trunk(images(1)), before)
    assert runs == [1, 1]


@pytest.mark.parametrize("config", [PaDiM.Config(false_alarm_rate=0.2), GaussianFeatures.Config()])
def test_adding_and_forgetting_images_is_a_first_fit_on_what_is_there(repository, trunk, config):
    normal = images(28)

    def fit(some):
        with cached(trunk, "bottles", CPU):
            return config.build(trunk).fit(some.split(5)).state_dict()

    fit(normal[:24])
    changed = torch.cat([normal[:3], normal[4:]])
    refitted = fit(changed)
    shutil.rmtree(folder("bottles"))
    for name, value in fit(changed).items():
        assert torch.equal(value, refitted[name]), name
