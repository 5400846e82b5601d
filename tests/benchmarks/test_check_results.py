import json

import pytest

from benchmarks import _result
from benchmarks._result import report, sealed
from benchmarks._sources import digest
from benchmarks.check_results import FOLDER, fault, is_stale


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
    assert is_stale({**result, "sources": "unknown"})


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_result_of_the_project_was_written_by_a_program(path):
    assert not fault(path)
