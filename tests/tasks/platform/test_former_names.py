import importlib
import sys

import pytest

from models.errors import NotFoundError
from tasks.platform import former_names


@pytest.mark.parametrize(
    ("name", "now"),
    [
        ("tasks.promote.PromotionPolicy", "tasks.registry.policy.PromotionPolicy"),
        ("tasks.promote:PromotionPolicy", "tasks.registry.policy:PromotionPolicy"),
        ("tasks.validate", "tasks.data.limits"),
        ("tasks.records.Training", "tasks.records.Training"),
        ("tasks.promoted.Other", "tasks.promoted.Other"),
        ("mine.Detector.Config", "mine.Detector.Config"),
    ],
)
def test_what_moved_has_its_present_name_and_the_rest_its_own(name, now):
    assert former_names.present(name) == now


@pytest.mark.parametrize(("former", "now"), former_names.MOVED.items())
def test_a_former_module_has_the_present_classes_for_as_long_as_it_is_asked_for(former, now):
    with former_names.importable():
        old = importlib.import_module(former)
    kinds = vars(importlib.import_module(now))
    ours = {name for name, kind in kinds.items() if getattr(kind, "__module__", "") == now}
    assert ours
    assert all(getattr(old, name) is kinds[name] for name in ours)
    assert former not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(former)


def test_a_module_that_is_elsewhere_now_is_named():
    with (
        pytest.raises(NotFoundError, match=r"import tasks\.data\.decoding instead"),
        former_names.importable(),
    ):
        importlib.import_module("tasks.decoding")


@pytest.mark.parametrize("name", ["tasks.never_was", "not_ours", "no_such_package.decoding"])
def test_what_never_was_stays_the_error_that_it_is(name):
    with pytest.raises(ModuleNotFoundError), former_names.importable():
        importlib.import_module(name)


def test_a_class_is_found_by_either_name():
    from tasks.registry.policy import PromotionPolicy

    assert former_names.find("tasks.promote.PromotionPolicy") is PromotionPolicy
    assert former_names.find("tasks.registry.policy.PromotionPolicy") is PromotionPolicy
    with pytest.raises(NotFoundError, match=r"no\.such\.Thing"):
        former_names.find("no.such.Thing")
