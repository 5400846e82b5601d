import pandas as pd
import pytest

from models.errors import RegistryError
from tasks.evaluation import paired_scores
from tests.tasks.conftest import make_scores

TERMS = {"confidence": 0.9, "num_resamples": 200, "seed": 0}


def test_only_frames_that_both_scored_are_compared():
    whole, part = make_scores(1.0), make_scores(2.0).query("frame >= 5")
    both = paired_scores.paired(whole, part.sample(frac=1, random_state=0))
    assert len(both) == len(part)
    row = both.iloc[7]
    for name, table in (("challenger", whole), ("champion", part)):
        same = table[(table["clip"] == row["clip"]) & (table.frame == row.frame)]
        assert row[name] == same.image_score.item()


def test_tables_that_disagree_about_the_truth_are_refused():
    other = make_scores(1.0)
    other.loc[0, "label"] = 1
    with pytest.raises(RegistryError, match="same labels, got 240 and 240 frames, 240 in common"):
        paired_scores.paired(make_scores(1.0), other)


def test_tables_without_a_common_frame_are_refused():
    other = make_scores(1.0)
    other["clip"] = "other/" + other["clip"]
    with pytest.raises(RegistryError, match="0 in common"):
        paired_scores.paired(make_scores(1.0), other)


def clustered(found, champion=None):
    kinds = [f"good-{name}" for name in "aabbcc"] + ["letter"]
    table = pd.DataFrame({"clip": [f"{k}/{i}" for i, k in enumerate(kinds)], "kind": kinds})
    table = table.assign(frame=0, label=0, image_score=0.5, cluster=found)
    return table if champion is None else paired_scores.paired(table, clustered(champion))


def test_the_wrong_side_of_chance_is_told_from_the_right_one_for_clusters_too():
    one_for_all = clustered([0, 0, 1, 1, 2, 2, 0], [0] * 7)
    (_, chance), found = paired_scores.MEASURES["cluster_acc"](one_for_all, TERMS)
    assert chance == pytest.approx(1 / 3)
    assert found.lower_bound > 0


def test_clusters_are_compared_by_accuracy_each_under_its_own_best_map():
    both = clustered([0, 0, 1, 1, 2, 2, 0], [2, 2, 1, 1, 1, 0, 0])
    (new, old), found = paired_scores._accuracies(both, TERMS)
    assert (new, old) == (1.0, pytest.approx(5 / 6))
    assert found.mean == pytest.approx(1 / 6, abs=0.03)
    assert found.lower_bound == 0
    renamed, _ = paired_scores._accuracies(clustered([1, 1, 2, 2, 0, 0, 0], [0] * 7), TERMS)
    assert renamed == (1.0, pytest.approx(1 / 3))


def test_a_champion_without_clusters_cannot_be_compared_by_them():
    both = paired_scores.paired(clustered([0] * 7), clustered([0] * 7).drop(columns="cluster"))
    with pytest.raises(RegistryError, match="Clusters can be compared if"):
        paired_scores._accuracies(both, TERMS)
