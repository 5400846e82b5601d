"""The whole story of a clusterer: unlabelled images in, a champion that is judged by classes."""

from pathlib import Path

import mlflow
import numpy as np
import pytest

from flows.retrain import retrain
from tasks.registry import mlflow_store, model_versions
from tests.flows.clustered import SIDE, write

RECIPE = f"{Path(__file__).with_name('clustered.py')}:halves"


@pytest.fixture(scope="module")
def first(workplace):
    write(workplace / "halves")
    return retrain(RECIPE, workplace / "halves")


@pytest.fixture(scope="module")
def champion(first):
    return mlflow_store.client().get_model_version_by_alias("halves", "champion")


def test_the_first_clusterer_serves_by_its_accuracy(first, champion):
    assert (first.action, first.champion) == ("promote", 1)
    assert "cluster_acc 1.0000" in first.why
    assert float(champion.tags["unseen.metric.cluster_acc"]) == 1.0
    metrics = mlflow_store.client().get_run(champion.run_id).data.metrics
    assert metrics["cluster_nmi"] == metrics["cluster_ari"] == pytest.approx(1.0)
    assert "image_auroc" not in metrics


def test_the_table_of_scores_and_the_pictures_tell_of_the_clusters(champion):
    table = mlflow.artifacts.load_text(f"runs:/{champion.run_id}/evaluation/scores.csv")
    header, *rows = table.splitlines()
    assert header.split(",")[-1] == "cluster"
    assert len(rows) == 12
    assert all(row.split(",")[3] == "0" for row in rows)  # classes are no anomalies
    found = mlflow_store.client().list_artifacts(champion.run_id, "evaluation")
    assert {"evaluation/clusters.png", "evaluation/confusion.png"} <= {each.path for each in found}


def test_the_registered_model_assigns_as_the_packaged_one(champion):
    image = np.zeros((2, 1, SIDE, SIDE), np.uint8)
    image[0, :, :, : SIDE // 2], image[1, :, :, SIDE // 2 :] = 220, 220
    found = mlflow.pyfunc.load_model("models:/halves@champion").predict(image)
    assert sorted(found["cluster"]) == [0, 1]
    assignment = np.stack(found["soft_assignment"])
    np.testing.assert_allclose(assignment.sum(axis=1), 1)
    np.testing.assert_allclose(
        assignment, model_versions.load(champion).predict(image[:, 0]).soft_assignment
    )


def test_another_seed_is_compared_by_the_same_metric(first, workplace):
    decision = retrain(RECIPE, workplace / "halves", seed=1)
    assert decision.version == 2
    assert decision.figures["num_frames"] == 12
    assert decision.figures["champion"] == 1.0
    assert decision.why.startswith("cluster_acc ")
