"""What people decided, with whatever tool, against a retrain of the same data and recipe."""

from dataclasses import replace

import pytest

from tasks.evaluation.comparison import compare
from tasks.registry import history, mlflow_store, model_versions
from tasks.registry.decisions import appoint, pin, rollback, unpin
from tasks.registry.policy import PromotionPolicy
from tasks.registry.promote import promote
from tasks.registry.standing import standing
from tasks.registry.tags import EVALUATION_DATA_DIGEST
from tests.tasks.conftest import VERSION

POLICY = PromotionPolicy(num_resamples=200)
OTHER_DATA = replace(VERSION, digest="f" * 32 + ".dir")


def decide(made, report, **options):
    return promote.fn(made, compare.fn(made, report, POLICY, **options), POLICY, **options)


@pytest.fixture
def better(registered):
    """Version 2, which took over from version 1, with its report."""
    first, made = registered({"seed": 1, "quality": 2.0}, {"seed": 2, "quality": 4.0})
    decide(*first)
    assert decide(*made).champion == 2
    return made


SET_ASIDE = {
    "rolled back": lambda _: rollback("squares", "It misses carts."),
    "replaced": lambda _: appoint("squares", 1, "It misses carts."),
    "alias moved": lambda client: client.set_registered_model_alias("squares", "champion", "1"),
    "alias gone": lambda client: client.delete_registered_model_alias("squares", "champion"),
    "deleted": lambda client: client.delete_model_version("squares", "2"),
    "pinned": lambda _: pin("squares", 1, "It misses carts."),
}


@pytest.mark.parametrize("how", SET_ASIDE)
def test_what_a_person_set_aside_comes_back_by_a_person_alone(better, register_detector, how):
    client = mlflow_store.client()
    SET_ASIDE[how](client)
    served = model_versions.champion(client, "squares")
    if how == "deleted":  # a retrain registers the remembered run anew
        better = register_detector(seed=2, quality=4.0)
    for _ in range(2):  # however often it is asked
        decision = decide(*better)
        assert (decision.action, decision.champion) == ("refuse", served or 0)
        assert "Pinned: pin by" in decision.why or "was set aside by" in decision.why
        assert model_versions.champion(client, "squares") == served
    assert history.read("squares", client).count(decision) == 1
    if how == "pinned":
        assert decide(*better, again=True).action == "refuse"
        unpin("squares", "")
    assert decide(*better, again=True).champion == better[0].version


@pytest.mark.parametrize("how", sorted(SET_ASIDE.keys() - {"alias gone", "deleted", "pinned"}))
def test_new_figures_on_new_data_are_judged_anew(better, register_detector, how):
    client = mlflow_store.client()
    SET_ASIDE[how](client)
    client.set_model_version_tag("squares", "1", EVALUATION_DATA_DIGEST, OTHER_DATA.digest)
    assert decide(*register_detector(seed=2, quality=4.0, version=OTHER_DATA)).champion == 3


def test_a_refusal_holds_whoever_serves_until_the_terms_change(better, register_detector):
    worse = register_detector(seed=3, quality=2.5)
    refused = decide(*worse)
    rollback("squares", "It misses carts.")
    assert decide(*worse) == refused
    judged = model_versions.resolve(mlflow_store.client(), "squares", 3)
    assert standing(mlflow_store.client(), judged, replace(POLICY, margin=0.5)) is None
    assert standing(mlflow_store.client(), judged, replace(POLICY, floor=0.6)) is None


def test_after_an_unpin_a_retrain_decides_again(better, register_detector):
    pin("squares", None, "Wait.")
    best = register_detector(seed=3, quality=6.0)
    assert "Pinned" in decide(*best).why
    unpin("squares", "Go on.")
    assert decide(*best).champion == 3


def test_nobody_is_the_first_where_something_served(better, register_detector):
    client = mlflow_store.client()
    client.delete_model_version("squares", "2")
    worse = register_detector(seed=3, quality=0.5)
    decision = decide(*worse)
    assert (decision.action, decision.champion) == ("refuse", 0)
    assert "of version 1" in decision.why
    client.delete_model_version("squares", "1")
    good = decide(*register_detector(seed=4, quality=2.0))
    assert (good.action, good.champion) == ("promote", 4)
    assert "No version that served exists any more" in good.why
