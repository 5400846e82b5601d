import pytest

from benchmarks._rows import Rows


def test_figures_outlive_the_run(tmp_path):
    Rows({"epochs": 1}, tmp_path).add("random", "mnist", 0, {"probe": 0.5}, "a note")
    again = Rows({"epochs": 1}, tmp_path)
    assert ("random", "mnist", 0) in again
    assert again.notes == {"random_mnist": "a note"}
    assert ("random", "mnist", 0) not in Rows({"epochs": 2}, tmp_path)


def test_means_and_spreads_are_those_over_seeds(tmp_path):
    rows = Rows({}, tmp_path)
    for seed, value in enumerate((0.5, 0.7)):
        rows.add("random", "mnist", seed, {"probe": value})
    metrics = rows.metrics()
    assert metrics["probe_random_mnist"] == pytest.approx(0.6)
    assert metrics["probe_random_mnist_std"] == pytest.approx(0.2 / 2**0.5)


def test_the_table_shows_what_there_is(tmp_path):
    rows = Rows({}, tmp_path)
    rows.add("random", "mnist", 0, {"probe": 0.5})
    rows.add("pca", "ped2", 0, {"detector_auc": 0.75})
    header, random, pca = rows.table(("probe", "knn", "detector_auc")).splitlines()
    assert header.split() == ["probe", "mnist", "detector_auc", "ped2"]
    assert random.split() == ["random", "0.500", "-"]
    assert pca.split() == ["pca", "-", "0.750"]


def test_values_are_there_one_by_one(tmp_path):
    rows = Rows({}, tmp_path)
    for seed, value in enumerate((0.5, 0.7)):
        rows.add("adda", "usps", seed, {"accuracy": value})
    assert rows.values() == {"accuracy_adda_usps": [0.5, 0.7]}
