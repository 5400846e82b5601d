from benchmarks import statistics
from benchmarks._result import rounded


def test_small_figures_keep_the_digits_that_count():
    assert rounded(0.123456) == 0.1235
    assert rounded(153.51149) == 153.5115
    assert rounded(1.23456e-12) == 1.235e-12
    assert rounded(-2.34567e-7) == -2.346e-07


def test_merging_and_forgetting_agree_with_extended_precision():
    found = statistics.exactness(0, 100)
    assert 0 < found["merge_error"] < 1e-10
    assert 0 < found["subtract_error"] < 1e-9


def test_a_refit_agrees_with_a_full_fit(monkeypatch):
    monkeypatch.setattr(statistics, "NUM_CLIPS", 4)
    found = statistics.refit(0, 300)
    assert found["relative_error"] < 1e-8
    assert found["distance_error"] < 1e-8
