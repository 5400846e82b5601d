from dataclasses import replace

import pandas as pd
import pytest

from models.errors import RegistryError
from models.metrics.detection import auc
from tasks.data import versions as data_versions
from tasks.evaluation import comparison
from tasks.evaluation.evaluate import score_version
from tasks.packaging import package
from tasks.records import Report
from tasks.registry import mlflow_store, model_versions
from tasks.registry.register import register
from tests.tasks.conftest import VERSION, make_scores
from tests.tasks.pictures import write_clips

TERMS = {"margin": 0.01, "confidence": 0.95, "num_resamples": 200, "seed": 0}


@pytest.fixture
def versions(repository, register_detector):
    """The first version, which serves, and a better one, with the report of the latter."""
    register_detector(seed=1, quality=1.0)
    _, report = register_detector(seed=2, quality=3.0)
    client = mlflow_store.client()
    serving, judged = (model_versions.resolve(client, "squares", number) for number in (1, 2))
    return judged, serving, report


def compare(judged, serving, report, **changes):
    return comparison.compare(judged, serving, report, "frame_auc", **TERMS | changes)


def test_the_figures_are_those_of_the_tables_that_the_runs_logged(versions):
    from sklearn.metrics import roc_auc_score

    outcome = compare(*versions)
    for name, quality in (("challenger", 3.0), ("champion", 1.0)):
        table = make_scores(quality)
        expected = roc_auc_score(table.label, table.image_score)
        assert outcome.figures[name] == pytest.approx(expected)
    assert (outcome.figures["num_clips"], outcome.figures["num_frames"]) == (12, 240)
    assert outcome.accepted


def test_the_same_seed_decides_the_same(versions):
    assert compare(*versions) == compare(*versions)
    assert compare(*versions) != compare(*versions, seed=1)


def test_more_confidence_asks_for_more(versions):
    bounds = [
        compare(*versions, confidence=confidence).figures["lower_bound"]
        for confidence in (0.6, 0.9, 0.99)
    ]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > bounds[-1]


def test_only_frames_that_both_scored_are_compared():
    whole, part = make_scores(1.0), make_scores(2.0).query("frame >= 5")
    both = comparison.paired(whole, part.sample(frac=1, random_state=0))
    assert len(both) == len(part)
    row = both.iloc[7]
    for name, table in (("challenger", whole), ("champion", part)):
        same = table[(table["clip"] == row["clip"]) & (table.frame == row.frame)]
        assert row[name] == same.image_score.item()


def test_tables_that_disagree_about_the_truth_are_refused():
    other = make_scores(1.0)
    other.loc[0, "label"] = 1
    with pytest.raises(RegistryError, match="same labels, got 240 and 240 frames, 240 in common"):
        comparison.paired(make_scores(1.0), other)


def test_tables_without_a_common_frame_are_refused():
    other = make_scores(1.0)
    other["clip"] = "other/" + other["clip"]
    with pytest.raises(RegistryError, match="0 in common"):
        comparison.paired(make_scores(1.0), other)


def clustered(found, champion=None):
    kinds = [f"good-{name}" for name in "aabbcc"] + ["letter"]
    table = pd.DataFrame({"clip": [f"{k}/{i}" for i, k in enumerate(kinds)], "kind": kinds})
    table = table.assign(frame=0, label=0, image_score=0.5, cluster=found)
    return table if champion is None else comparison.paired(table, clustered(champion))


def test_clusters_are_compared_by_accuracy_each_under_its_own_best_map():
    terms = {"confidence": 0.9, "num_resamples": 200, "seed": 0}
    both = clustered([0, 0, 1, 1, 2, 2, 0], [2, 2, 1, 1, 1, 0, 0])
    (new, old), found = comparison._accuracies(both, terms)
    assert (new, old) == (1.0, pytest.approx(5 / 6))
    assert found.mean == pytest.approx(1 / 6, abs=0.03)
    assert found.lower_bound == 0
    renamed, _ = comparison._accuracies(clustered([1, 1, 2, 2, 0, 0, 0], [0] * 7), terms)
    assert renamed == (1.0, pytest.approx(1 / 3))


def test_a_champion_without_clusters_cannot_be_compared_by_them():
    both = comparison.paired(clustered([0] * 7), clustered([0] * 7).drop(columns="cluster"))
    with pytest.raises(RegistryError, match="Clusters can be compared if"):
        comparison._accuracies(both, {})


def test_data_that_the_challenger_was_not_trained_with_cannot_be_compared(versions):
    judged, serving, report = versions
    assert serving.tags["unseen.evaluation_data_digest"] == VERSION.digest
    with pytest.raises(RegistryError, match="only its own data version"):
        compare(judged, serving, replace(report, data_digest="f" * 32 + ".dir"))


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
    mlflow_store.client().log_text(trained.run_id, table.to_csv(index=False), comparison.SCORES)
    report = Report(
        run_id=trained.run_id, data_digest=judged_data.digest, metrics={"frame_auc": 0.5}
    )
    register.fn(trained, report, "squares")

    client = mlflow_store.client()
    serving, judged = (model_versions.resolve(client, "squares", number) for number in (1, 2))
    figures = compare(judged, serving, report).figures
    champion = score_version(judged_data, model_versions.load(serving))
    assert figures["champion"] == auc(
        champion.label.to_numpy(bool), champion.image_score.to_numpy()
    )
    assert figures["challenger"] == auc(table.label.to_numpy(bool), table.image_score.to_numpy())
    assert figures["num_frames"] == 18
