from dataclasses import replace

import pytest

from models.errors import RegistryError
from models.metrics.detection import auc
from tasks.data import versions as data_versions
from tasks.evaluation.comparison import compare, measure
from tasks.evaluation.evaluate import score_version
from tasks.evaluation.paired_scores import SCORES
from tasks.packaging import package
from tasks.records import ModelVersion, Report
from tasks.registry import history, mlflow_store, model_versions
from tasks.registry.policy import PromotionPolicy
from tasks.registry.register import register
from tests.tasks.conftest import VERSION, make_scores
from tests.tasks.pictures import write_clips

POLICY = PromotionPolicy(num_resamples=200)


@pytest.fixture
def versions(repository, register_detector):
    """The first version, which serves, and a better one, with the report of the latter."""
    register_detector(seed=1, quality=1.0)
    _, report = register_detector(seed=2, quality=3.0)
    client = mlflow_store.client()
    serving, judged = (model_versions.resolve(client, "squares", number) for number in (1, 2))
    return judged, serving, report


def measured(judged, serving, report, **changes):
    return measure(judged, serving, report, replace(POLICY, **changes))


def test_the_figures_are_those_of_the_tables_that_the_runs_logged(versions):
    from sklearn.metrics import roc_auc_score

    outcome = measured(*versions)
    for name, quality in (("challenger", 3.0), ("champion", 1.0)):
        table = make_scores(quality)
        expected = roc_auc_score(table.label, table.image_score)
        assert outcome.figures[name] == pytest.approx(expected)
    assert (outcome.figures["num_clips"], outcome.figures["num_frames"]) == (12, 240)
    assert outcome.accepted


def test_the_same_seed_decides_the_same(versions):
    assert measured(*versions) == measured(*versions)
    assert measured(*versions) != measured(*versions, seed=1)


def test_more_confidence_asks_for_more(versions):
    bounds = [
        measured(*versions, confidence=confidence).figures["lower_bound"]
        for confidence in (0.6, 0.9, 0.99)
    ]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > bounds[-1]


def test_the_lock_of_decisions_is_free_while_versions_are_compared(versions):
    judged, _, report = versions
    challenger = ModelVersion(name="squares", version=2, alias="", run_id=judged.run_id)
    with history.lock("squares"):
        found = compare.fn(challenger, report, POLICY)
    assert (found.champion, found.accepted, found.terms) == (None, True, POLICY.figures())


PUT_IN = "evaluation/put_in_scores.csv"


@pytest.fixture
def unlabelled(versions):
    """Both versions with the figures of a test split without anomalies, and a threshold each."""
    client = mlflow_store.client()
    for number, put_in, alarms in (("1", 0.8, 1.0), ("2", 0.79, 1.5)):
        client.set_model_version_tag("squares", number, "unseen.metric.put_in_auroc", str(put_in))
        client.set_model_version_tag("squares", number, "unseen.metric.threshold", str(alarms))
    serving, judged = (model_versions.resolve(client, "squares", number) for number in (1, 2))
    return judged, serving, versions[2]


@pytest.mark.parametrize(
    ("put_in", "floor_holds", "accepted"),
    [(0.795, True, True), (0.5, False, False), (0.95, True, True), (0.7, True, False)],
)
def test_without_labels_neither_put_in_anomalies_nor_alarms_may_be_worse(
    unlabelled, put_in, floor_holds, accepted
):
    judged, serving, report = unlabelled
    metrics = {"put_in_auroc": put_in, "false_alarm_rate": 0.07}
    report = replace(report, metrics=metrics)
    found = measured(judged, serving, report, metric="label_free")
    assert found.accepted == accepted
    assert found.figures["false_alarm_rate.challenger"] < found.figures["false_alarm_rate.champion"]
    assert found.figures["put_in_auroc.difference"] == pytest.approx(put_in - 0.8)
    assert measured(judged, None, report, metric="label_free").accepted == floor_holds
    louder = measured(serving, judged, replace(report, run_id=serving.run_id), metric="label_free")
    assert not louder.accepted


def test_scores_of_put_in_anomalies_are_resampled_where_they_are_kept(unlabelled):
    judged, serving, report = unlabelled
    report = replace(report, metrics={"put_in_auroc": 0.8})
    client = mlflow_store.client()
    for version, quality in ((judged, 3.0), (serving, 1.0)):
        client.log_text(version.run_id, make_scores(quality).to_csv(index=False), PUT_IN)
    found = measured(judged, serving, report, metric="put_in_auroc")
    assert found.accepted
    assert found.figures["lower_bound"] > 0


def test_what_cannot_be_compared_stays_challenger(versions):
    judged, serving, report = versions
    report = replace(report, metrics={"put_in_auroc": 0.9})
    found = measured(judged, serving, report, metric="put_in_auroc")
    assert not found.accepted
    assert "no put_in_auroc on this data" in found.why
    assert not measured(judged, serving, report).accepted


def test_data_that_the_challenger_was_not_trained_with_cannot_be_compared(versions):
    judged, serving, report = versions
    assert serving.tags["unseen.evaluation_data_digest"] == VERSION.digest
    with pytest.raises(RegistryError, match="only its own data version"):
        measured(judged, serving, replace(report, data_digest="f" * 32 + ".dir"))


def new_version(folder, seed):
    write_clips(folder, seed=seed)
    return data_versions.add("squares")


def test_a_champion_that_was_evaluated_on_other_data_scores_the_challengers(
    repository, log_detector, register_detector
):
    folder = repository / "data" / "squares"
    serving_data = new_version(folder, seed=0)
    register_detector(seed=1, version=serving_data)
    judged_data = new_version(folder, seed=1)
    assert judged_data.digest != serving_data.digest

    trained = log_detector(seed=2, version=judged_data)
    challenger = package.load(model_versions.folder(trained.model_uri))
    table = score_version(judged_data, challenger)
    mlflow_store.client().log_text(trained.run_id, table.to_csv(index=False), SCORES)
    report = Report(
        run_id=trained.run_id, data_digest=judged_data.digest, metrics={"frame_auc": 0.5}
    )
    register.fn(trained, report, "squares")

    client = mlflow_store.client()
    serving, judged = (model_versions.resolve(client, "squares", number) for number in (1, 2))
    figures = measured(judged, serving, report).figures
    champion = score_version(judged_data, model_versions.load(serving))
    assert figures["champion"] == auc(
        champion.label.to_numpy(bool), champion.image_score.to_numpy()
    )
    assert figures["challenger"] == auc(table.label.to_numpy(bool), table.image_score.to_numpy())
    assert figures["num_frames"] == 18
