import json

import pytest

from benchmarks import _result
from benchmarks._result import report, sealed
from benchmarks._sources import digest
from benchmarks.check_results import FOLDER, adopted, fault, is_stale


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(_result, "FOLDER", tmp_path)
    return report("tracks", {"auc": 0.9}, seeds=[0])


def test_what_a_benchmark_wrote_passes_and_is_fresh(path):
    assert not fault(path)
    assert not is_stale(json.loads(path.read_text()))


@pytest.mark.parametrize("change", [("0.9", "0.99"), ('"seeds": [\n  0', '"seeds": [\n  7')])
def test_an_edited_figure_is_refused(path, change):
    path.write_text(path.read_text().replace(*change))
    assert "was changed after its benchmark wrote it" in fault(path)


def test_what_has_not_the_form_is_refused(path):
    result = json.loads(path.read_text())
    for broken, message in (
        ({k: v for k, v in result.items() if k != "commit"}, "must have commit"),
        ({**result, "remark": "good"}, "must not have remark"),
        ({**result, "metrics": {"auc": "high"}}, "wrong kind of thing in metrics"),
        ({**result, "seeds": 3}, "wrong kind of thing in seeds"),
        ({**result, "benchmark": "other"}, "must be named other.json"),
    ):
        path.write_text(sealed(broken))
        assert message in fault(path)
    path.write_text("{")
    assert "must be JSON" in fault(path)


def test_changed_sources_make_it_stale(path):
    result = json.loads(path.read_text())
    assert result["sources"] == digest("benchmarks.tracks")
    assert is_stale({**result, "module": "benchmarks.lifecycle"})


def test_a_file_of_the_former_form_is_taken_over_as_stale(tmp_path):
    former = {
        "benchmark": "incremental",
        "metrics": {"acc": 0.5, "acc_std": 0.0, "auc": 0.4, "auc_std": 0.1},
        "seeds": [0],
        "hardware": {"cores": 2},
        "versions": {"python": "3.11"},
        "date": "2026-01-01",
    }
    result = adopted(former, "abc")
    assert result["metrics"] == {"acc": 0.5, "auc": 0.4, "auc_std": 0.1}
    assert result["module"] == "benchmarks.statistics"
    path = tmp_path / "incremental.json"
    path.write_text(sealed(result))
    assert not fault(path)
    assert is_stale(result)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_result_of_the_project_was_written_by_a_program(path):
    assert not fault(path)
