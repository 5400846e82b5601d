import json
import sys

import pytest

from flows import recipes
from flows.recipes.rebuild import rebuild, unrecorded
from models.errors import NotFoundError
from tests.flows.conftest import RECIPE


def described(recipe):
    return json.loads(json.dumps(recipes.describe(recipe)))


@pytest.mark.parametrize("name", [*recipes.names(), RECIPE])
def test_every_recipe_is_rebuilt_from_its_description(name, tmp_path):
    recipe = recipes.load(name, seed=3, device="cpu")
    rebuilt = rebuild(described(recipe), tmp_path)
    assert rebuilt == recipe
    assert unrecorded(described(recipe), rebuilt) == ()


def test_a_setting_that_came_later_has_its_default_and_is_told(tmp_path):
    known = described(recipes.walkway())
    del known["detector"]["shrinkage"], known["expectations"]["anomalies"]
    rebuilt = rebuild(known, tmp_path)
    assert rebuilt == recipes.walkway()
    assert unrecorded(known, rebuilt) == ("detector.shrinkage", "expectations.anomalies")


def test_a_setting_or_a_class_that_is_gone_is_refused(tmp_path):
    known = described(recipes.walkway())
    known["detector"]["sharpness"] = 1
    with pytest.raises(NotFoundError, match=r"MotionGaussian\.Config must take .*sharpness"):
        rebuild(known, tmp_path)
    known["detector"] = {"class": "models.one_class.gone.Gone.Config"}
    with pytest.raises(NotFoundError, match=r"The class models\.one_class\.gone\.Gone\.Config"):
        rebuild(known, tmp_path)


def test_a_users_own_class_is_taken_from_what_the_model_carries(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "recipe_carried", raising=False)
    (tmp_path / "recipe_carried.py").write_text(
        "from dataclasses import dataclass\nfrom enum import Enum\n\n"
        "class Norm(Enum):\n    L1 = 1\n    L2 = 2\n\n"
        "class Task:\n    @dataclass(frozen=True)\n    class Config:\n"
        "        norms: tuple\n        rate: float = 0.5\n"
    )
    kind = {"class": "recipe_carried.Norm", "member": "L2"}
    known = {"class": "recipe_carried.Task.Config", "norms": [kind, kind]}
    try:
        made = rebuild(known, tmp_path)
        assert [norm.name for norm in made.norms] == ["L2", "L2"]
        assert recipes.describe(made) == {**known, "rate": 0.5}
    finally:
        sys.modules.pop("recipe_carried", None)
