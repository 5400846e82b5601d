import json
import sys

import pytest

from benchmarks import _result
from benchmarks._result import content_digest, over_seeds, report, rounded
from benchmarks.check_results import fault


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(_result, "FOLDER", tmp_path)
    return tmp_path


def test_a_result_says_where_it_comes_from_and_no_path_of_a_machine(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["dcec", "--data", str(folder), "--seeds", "3"])
    path = report("dcec", {"acc": 1 / 3}, seeds=[0, 1], durations={"fit": 1.23456})
    result = json.loads(path.read_text())
    assert result["arguments"] == ["--data", "DIR", "--seeds", "3"]
    assert result["metrics"] == {"acc": 0.3333}
    assert result["durations"] == {"fit": 1.2346}
    assert result["module"] == "benchmarks.dcec"
    assert len(result["sources"]) == 32
    assert result["seconds"] > 0
    assert result["digest"] == content_digest(result)
    assert str(folder) not in path.read_text()
    assert json.loads(capsys.readouterr().out) == result
    assert not fault(path)


def test_one_seed_has_no_deviation():
    assert over_seeds("acc", [0.5]) == {"acc": 0.5}
    assert over_seeds("acc", [0.5, 0.7]) == pytest.approx({"acc": 0.6, "acc_std": 0.02**0.5})


def test_small_figures_keep_four_digits():
    assert rounded(0.123456) == 0.1235
    assert rounded(0.000123456) == 0.0001235
