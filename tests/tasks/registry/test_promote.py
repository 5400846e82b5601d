import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from models.errors import InvalidInputError, NotFoundError, RegistryError
from tasks.registry import history, mlflow_store, model_versions
from tasks.registry.promote import PromotionPolicy, promote
from tasks.registry.rollback import rollback

POLICY = PromotionPolicy(num_resamples=300)


@pytest.fixture
def store(repository):
    return mlflow_store.client()


@pytest.fixture
def champion(store, register_detector):
    made, report = register_detector(seed=1, quality=2.0)
    promote.fn(made, report, POLICY)
    return made


def aliases(store):
    return model_versions.aliases(store, "squares")


def test_the_first_version_serves(store, register_detector):
    made, report = register_detector()
    decision = promote.fn(made, report, POLICY)
    assert (decision.action, decision.champion, decision.former) == ("promote", 1, None)
    assert "Nothing served yet" in decision.why
    assert decision.figures["frame_auc"] == report.metrics["frame_auc"]
    assert aliases(store) == {"challenger": 1, "champion": 1}
    assert history.read("squares", store) == (decision,)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_first_version_without_a_finite_metric_does_not_serve(store, register_detector, value):
    made, report = register_detector(metric=value)
    with pytest.raises(RegistryError, match="must be finite"):
        promote.fn(made, report, POLICY)
    assert aliases(store) == {"challenger": 1}
    assert history.read("squares", store) == ()


def test_a_better_challenger_takes_over(store, champion, register_detector):
    made, report = register_detector(seed=2, quality=4.0)
    decision = promote.fn(made, report, POLICY)
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
    decision = promote.fn(made, report, replace(POLICY, margin=0.0))
    assert (decision.action, decision.champion) == ("promote", 2)
    assert decision.figures["difference"] == decision.figures["lower_bound"] == 0


def test_a_worse_challenger_is_refused_and_the_champion_stays(store, champion, register_detector):
    made, report = register_detector(seed=2, quality=0.5)
    decision = promote.fn(made, report, POLICY)
    assert (decision.action, decision.version, decision.champion) == ("refuse", 2, 1)
    assert aliases(store) == {"challenger": 2, "champion": 1}
    assert decision.figures["lower_bound"] < -POLICY.margin
    assert "the limit" in decision.why
    assert store.get_model_version("squares", "2").tags["unseen.decision"]


def test_the_margin_decides(store, champion, register_detector):
    made, report = register_detector(seed=2, quality=1.8)
    refused = promote.fn(made, report, replace(POLICY, margin=0.0))
    assert refused.action == "refuse"
    assert promote.fn(made, report, replace(POLICY, margin=0.5)).action == "promote"


def test_asking_again_returns_what_was_decided(store, champion, register_detector):
    better, better_report = register_detector(seed=2, quality=4.0)
    worse, worse_report = register_detector(seed=3, quality=0.5)
    accepted = promote.fn(better, better_report, POLICY)
    refused = promote.fn(worse, worse_report, POLICY)
    assert promote.fn(better, better_report, POLICY) == accepted
    assert promote.fn(worse, worse_report, POLICY) == refused
    assert len(history.read("squares", store)) == 3


def test_what_was_rolled_back_is_not_promoted_again_unless_somebody_insists(
    store, champion, register_detector
):
    better, report = register_detector(seed=2, quality=4.0)
    promote.fn(better, report, POLICY)
    undone = rollback("squares", "It misses carts.")
    assert promote.fn(better, report, POLICY) == undone
    assert aliases(store)["champion"] == 1
    assert promote.fn(better, report, POLICY, again=True).champion == 2
    assert [each.action for each in history.read("squares", store)] == [
        "promote",
        "promote",
        "rollback",
        "promote",
    ]


def test_a_champion_that_was_set_by_hand_enters_the_history(store, register_detector):
    made, report = register_detector()
    store.set_registered_model_alias("squares", "champion", "1")
    decision = promote.fn(made, report, POLICY)
    assert (decision.action, decision.champion) == ("promote", 1)
    assert "by hand" in decision.why
    assert promote.fn(made, report, POLICY) == decision
    assert len(history.read("squares", store)) == 1


def test_scores_that_are_not_finite_are_refused(store, champion, register_detector):
    made, report = register_detector(seed=2, quality=math.nan)
    decision = promote.fn(made, report, POLICY)
    assert (decision.action, decision.champion) == ("refuse", 1)
    assert "finite" in decision.why


def test_a_broken_challenger_gets_no_alias(store, champion, register_detector):
    made, report = register_detector(seed=2, quality=4.0)
    version = model_versions.resolve(store, "squares", 2)
    (model_versions.folder(version.source) / "detector.json").unlink()
    with pytest.raises(RegistryError, match=r"detector\.json"):
        promote.fn(made, report, POLICY)
    assert aliases(store) == {"challenger": 2, "champion": 1}
    assert len(history.read("squares", store)) == 1


def test_a_challenger_whose_scores_are_lost_is_refused(repository, champion, register_detector):
    made, report = register_detector(seed=2, quality=4.0)
    for table in repository.glob(f".unseen/**/{made.run_id}/**/scores.csv"):
        table.unlink()
    with pytest.raises(RegistryError, match="Evaluate the model again"):
        promote.fn(made, report, POLICY)


def test_a_report_about_another_run_is_refused(store, champion, register_detector):
    made, report = register_detector(seed=2)
    with pytest.raises(InvalidInputError, match="judged by its own report"):
        promote.fn(made, replace(report, run_id="0" * 32), POLICY)


def test_a_report_without_the_metric_is_refused(store, champion, register_detector):
    made, report = register_detector(seed=2)
    with pytest.raises(InvalidInputError, match=r"'image_auroc'.* it holds frame_auc"):
        promote.fn(made, report, replace(POLICY, metric="image_auroc"))


def test_a_version_that_does_not_exist_is_refused(store, champion, register_detector):
    made, report = register_detector(seed=2)
    with pytest.raises(NotFoundError, match="no version or alias '9'"):
        promote.fn(replace(made, version=9), report, POLICY)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metric", "pixel_eer"),
        ("margin", -0.1),
        ("margin", math.nan),
        ("confidence", 1.0),
        ("confidence", 0.5),
        ("num_resamples", 0),
    ],
)
def test_terms_out_of_range_are_refused(field, value):
    with pytest.raises(InvalidInputError, match=f"{field} must be"):
        PromotionPolicy(**{field: value})


def test_asking_at_the_same_time_decides_once(store, champion, register_detector):
    made, report = register_detector(seed=2, quality=4.0)
    with ThreadPoolExecutor(4) as pool:
        decisions = list(pool.map(lambda _: promote.fn(made, report, POLICY), range(4)))
    assert decisions == decisions[:1] * 4
    assert len(history.read("squares", store)) == 2
