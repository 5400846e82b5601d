import numpy as np
import pytest

from benchmarks._rows import Rows
from benchmarks.alocc import SHARES, f1_by_share, summary


def test_f1_of_perfect_scores_is_that_of_the_threshold_alone():
    scores = np.concatenate([np.linspace(0, 1, 100), np.full(900, 5.0)])
    outlier = np.arange(1000) >= 100
    found = f1_by_share(scores, outlier, threshold=0.9, seed=0)
    for share in SHARES:
        assert found[f"f1_oracle_{share}"] == 1
        assert found[f"f1_share_{share}"] == 1
        assert found[f"f1_{share}"] == pytest.approx(2 * 0.9 / 1.9)  # 90 of 100 normal ones kept


def test_told_the_share_of_outliers_as_many_are_called_anomalous():
    scores = np.concatenate([np.arange(100.0), np.linspace(89.1, 89.9, 100)])  # above 90
    found = f1_by_share(scores, np.arange(200) >= 100, threshold=0.0, seed=0)
    for share in SHARES:
        assert found[f"f1_share_{share}"] == pytest.approx(0.9)


def test_where_all_is_called_normal_f1_follows_from_the_share_of_outliers():
    outlier = np.arange(1000) >= 100
    found = f1_by_share(np.zeros(1000), outlier, threshold=1.0, seed=0)
    assert found["f1_50"] == pytest.approx(2 / 3)
    assert found["f1_10"] == pytest.approx(2 * 100 / (2 * 100 + 11))


def test_the_mean_goes_over_digits_and_the_spread_over_seeds(tmp_path):
    rows = Rows({}, tmp_path)
    for seed, aucs in enumerate(([0.6, 0.8], [0.8, 1.0])):
        for digit, auc in enumerate(aucs):
            rows.add("ognet", f"digit{digit}", seed, {"auc": auc, "auc_raw_d": 0.5})
            rows.add("knn", f"digit{digit}", seed, {"auc": 0.9})
            rows.add("alocc", f"digit{digit}", seed, {"auc": 0.7, "auc_raw_d": 0.6})
    found = summary(rows, "_cpu")
    assert found["auc_mean_ognet_cpu"] == pytest.approx(0.8)
    assert found["auc_mean_ognet_cpu_std"] == pytest.approx(0.2 / 2**0.5)
    assert found["auc_raw_d_ognet_cpu"] == 0.5
    assert found["auc_mean_knn_cpu"] == 0.9
    assert found["auc_mean_alocc_cpu"] == pytest.approx(0.7)
    assert found["auc_raw_d_alocc_cpu"] == pytest.approx(0.6)
    assert found["auc_ognet_digit1_cpu"] == 0.8
