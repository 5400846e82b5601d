import math
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from models.errors import InvalidInputError, NotFoundError, RegistryError
from tasks.evaluation.comparison import compare
from tasks.registry import history, mlflow_store, model_versions
from tasks.registry.decisions import appoint
from tasks.registry.policy import PromotionPolicy
from tasks.registry.promote import promote

POLICY = PromotionPolicy(num_resamples=300)


def decide(made, report, policy, *, again=False):
    """As the flow does."""
    comparison = compare.fn(made, report, policy, again=again)
    return promote.fn(made, comparison, policy, again=again)


@pytest.fixture
def store(repository):
    return mlflow_store.client()


@pytest.fixture
def champion(store, register_detector):
    made, report = register_detector(seed=1, quality=2.0)
    decide(made, report, POLICY)
    return made


def aliases(store):
    return model_versions.aliases(store, "squares")


def test_the_first_version_serves(store, register_detector):
    made, report = register_detector()
    decision = decide(made, report, POLICY)
    assert (decision.action, decision.champion, decision.former) == ("promote", 1, None)
    assert "Nothing served yet" in decision.why
    assert decision.figures["frame_auc"] == pytest.approx(report.metrics["frame_auc"])
    assert decision.figures["chance"] == 0.5 < decision.figures["bound"]
    assert aliases(store) == {"challenger": 1, "champion": 1}
    assert history.read("squares", store) == (decision,)


@pytest.mark.parametrize(
    ("made_with", "policy", "why"),
    [
        ({"metric": math.nan}, POLICY, "It has no frame_auc"),
        ({}, replace(POLICY, metric="image_auroc"), "no image_auroc .* it holds|holds frame_auc"),
        ({"quality": 0.0}, POLICY, r"is not better than 0\.5000 \(chance, 0\.5"),
        ({}, replace(POLICY, floor=0.9), r"not better than 0\.9000 \(the policy's floor"),
    ],
)
def test_a_first_version_must_earn_it(store, register_detector, made_with, policy, why):
    made, report = register_detector(**made_with)
    decision = decide(made, report, policy)
    assert (decision.action, decision.champion) == ("refuse", 0)
    assert re.search(why, decision.why)
    assert aliases(store) == {"challenger": 1}
    assert decide(made, report, policy) == decision
    assert appoint("squares", 1, "I looked at it.").champion == 1


def test_a_better_challenger_takes_over(store, champion, register_detector):
    made, report = register_detector(seed=2, quality=4.0)
    decision = decide(made, report, POLICY)
    assert (decision.action, decision.champion, decision.former) == ("promote", 2, 1)
    assert aliases(store) == {"challenger": 2, "champion": 2, "former-champion": 1}
    assert decision.figures["lower_bound"] > 0
    assert decision.figures["difference"] == pytest.approx(
        decision.figures["challenger"] - decision.figures["champion"], abs=0.05
    )
    assert decision.figures.items() >= POLICY.figures().items()
    assert "of version 1" in decision.why
    assert "95% confidence" in decision.why


def test_identical_scores_pass(store, champion, register_detector):
    made, report = register_detector(seed=2, quality=2.0)
    decision = decide(made, report, replace(POLICY, margin=0.0))
    assert (decision.action, decision.champion) == ("promote", 2)
    assert decision.figures["difference"] == decision.figures["lower_bound"] == 0


def test_a_worse_challenger_is_refused_and_the_champion_stays(store, champion, register_detector):
    made, report = register_detector(seed=2, quality=0.5)
    decision = decide(made, report, POLICY)
    assert (decision.action, decision.version, decision.champion) == ("refuse", 2, 1)
    assert aliases(store) == {"challenger": 2, "champion": 1}
    assert decision.figures["lower_bound"] < -POLICY.margin
    assert "the limit" in decision.why
    assert store.get_model_version("squares", "2").tags["unseen.decision"]


def test_the_margin_decides(store, champion, register_detector):
    made, report = register_detector(seed=2, quality=1.8)
    refused = decide(made, report, replace(POLICY, margin=0.0))
    assert refused.action == "refuse"
    assert decide(made, report, replace(POLICY, margin=0.5)).action == "promote"


def test_asking_again_returns_what_was_decided(store, champion, register_detector):
    better, better_report = register_detector(seed=2, quality=4.0)
    worse, worse_report = register_detector(seed=3, quality=0.5)
    accepted = decide(better, better_report, POLICY)
    refused = decide(worse, worse_report, POLICY)
    assert decide(better, better_report, POLICY) == accepted
    assert decide(worse, worse_report, POLICY) == refused
    assert len(history.read("squares", store)) == 3


def test_a_champion_that_was_set_with_mlflow_enters_the_history(store, register_detector):
    made, report = register_detector()
    store.set_registered_model_alias("squares", "champion", "1")
    decision = decide(made, report, POLICY)
    assert (decision.action, decision.champion) == (history.BY_MLFLOW, 1)
    assert decide(made, report, POLICY) == decision
    assert history.read("squares", store) == (decision,)


def test_who_is_overtaken_between_comparison_and_decision_is_refused(
    store, champion, register_detector
):
    better, report = register_detector(seed=2, quality=4.0)
    best, best_report = register_detector(seed=3, quality=6.0)
    comparison = compare.fn(best, best_report, POLICY)
    assert (comparison.champion, comparison.accepted) == (1, True)
    decide(better, report, POLICY)
    late = promote.fn(best, comparison, POLICY)
    assert (late.action, late.champion) == ("refuse", 2)
    assert re.search("compared with version 1, and version 2 serves since the promote", late.why)
    assert decide(best, best_report, POLICY).champion == 3


def test_a_comparison_of_another_version_or_on_other_terms_is_refused(
    store, champion, register_detector
):
    made, report = register_detector(seed=2)
    comparison = compare.fn(made, report, POLICY)
    with pytest.raises(InvalidInputError, match="its own comparison"):
        promote.fn(champion, comparison, POLICY)
    with pytest.raises(InvalidInputError, match="terms of its comparison"):
        promote.fn(made, comparison, replace(POLICY, margin=0.5))


def test_scores_that_are_not_finite_are_refused(store, champion, register_detector):
    made, report = register_detector(seed=2, quality=math.nan)
    decision = decide(made, report, POLICY)
    assert (decision.action, decision.champion) == ("refuse", 1)
    assert "finite" in decision.why


def test_a_broken_challenger_gets_no_alias(store, champion, register_detector):
    made, report = register_detector(seed=2, quality=4.0)
    version = model_versions.resolve(store, "squares", 2)
    (model_versions.folder(version.source) / "detector.json").unlink()
    with pytest.raises(RegistryError, match=r"detector\.json"):
        decide(made, report, POLICY)
    assert aliases(store) == {"challenger": 2, "champion": 1}
    assert len(history.read("squares", store)) == 1


def test_a_challenger_whose_scores_are_lost_is_refused(repository, champion, register_detector):
    made, report = register_detector(seed=2, quality=4.0)
    for table in repository.glob(f".unseen/**/{made.run_id}/**/scores.csv"):
        table.unlink()
    with pytest.raises(RegistryError, match="Evaluate the model again"):
        decide(made, report, POLICY)


def test_a_report_about_another_run_is_refused(store, champion, register_detector):
    made, report = register_detector(seed=2)
    with pytest.raises(InvalidInputError, match="judged by its own report"):
        decide(made, replace(report, run_id="0" * 32), POLICY)


def test_a_version_that_does_not_exist_is_refused(store, champion, register_detector):
    made, report = register_detector(seed=2)
    with pytest.raises(NotFoundError, match="no version or alias '9'"):
        decide(replace(made, version=9), report, POLICY)


def test_asking_at_the_same_time_decides_once(store, champion, register_detector):
    made, report = register_detector(seed=2, quality=4.0)
    with ThreadPoolExecutor(4) as pool:
        decisions = list(pool.map(lambda _: decide(made, report, POLICY), range(4)))
    assert decisions == decisions[:1] * 4
    assert len(history.read("squares", store)) == 2
