import pytest
import torch

from models.errors import InvalidInputError, TrainingError
from models.functional.put_in_defects import KINDS
from models.one_class.gaussian_features import GaussianFeatures
from models.one_class.padim import PaDiM
from models.one_class.patchcore import PatchCore
from models.selection import choose
from tests.models.tiny import Tiny


def images(num=24):
    draw = torch.Generator().manual_seed(0)
    wave = (torch.arange(32.0) * 0.4).sin() * 0.3 + 0.5
    return (wave.expand(num, 1, 32, 32) + 0.02 * torch.randn(num, 1, 32, 32, generator=draw)).clamp(
        0, 1
    )


def encoder():
    torch.manual_seed(0)
    return Tiny().eval()


def test_the_candidate_that_finds_put_in_defects_is_chosen():
    candidates = {
        "whole_images": GaussianFeatures.Config(),
        "places": PaDiM.Config(),
        "patches": PatchCore.Config(coreset=0.1),
    }
    choice = choose(candidates, encoder(), images())
    assert choice.name in ("places", "patches")
    assert next(iter(choice.table)) == choice.name
    assert list(choice.table)[1] == choice.runner_up
    assert choice.table[choice.name].auroc > choice.table["whole_images"].auroc
    assert set(choice.table["places"].by_kind) == set(KINDS)
    gap = choice.table[choice.name].auroc - choice.table[choice.runner_up].auroc
    assert choice.margin.mean == pytest.approx(gap, abs=0.03)
    assert choice.margin.lower_bound <= choice.margin.mean


def test_the_seed_decides():
    once, again = (choose({"a": PaDiM.Config()}, encoder(), images(), seed=3) for _ in range(2))
    assert once == again
    assert once.runner_up == once.name == "a"
    assert once.margin.mean == 0


def test_too_little_to_choose_from_is_refused():
    with pytest.raises(TrainingError, match="at least 10 normal images, got 9"):
        choose({"a": PaDiM.Config()}, encoder(), images(9))
    with pytest.raises(InvalidInputError, match="at least one candidate"):
        choose({}, encoder(), images())
