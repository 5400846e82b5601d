import json

import pytest

from benchmarks._result import FOLDER
from benchmarks.figures import (
    BEGIN,
    END,
    HIGHLIGHTS,
    claim,
    highlights,
    page,
    section,
    table,
    with_highlights,
)

RESULT = {
    "module": "benchmarks.tracks",
    "arguments": ["--data", "DIR"],
    "metrics": {"acc": 0.91234, "acc_std": 0.01, "acc_min": 0.9, "frames": 12345.0, "min": 1.0},
    "seeds": [0, 1],
    "commit": "0123456789abcdef+",
    "sources": "unknown",
    "hardware": {"processor": "AMD EPYC", "cores": 2, "gpu": "none"},
    "notes": {"data": "made here"},
    "date": "2026-01-02",
}


def test_deviation_and_range_stand_beside_their_figure():
    assert list(table(RESULT["metrics"])) == [
        "| figure | value | ± | least | ",
        "|---|---:|---:|---:|",
        "| acc | 0.9123 | 0.01 | 0.9 |",
        "| frames | 12,345 |  |  |",
        "| min | 1 |  |  |",
    ]


def test_what_was_measured_once_has_no_deviation():
    metrics = {"acc": 0.9, "acc_std": 0.0}
    assert list(table(metrics, spread=False))[2:] == ["| acc | 0.9 |"]
    assert "±" not in section("tracks", {**RESULT, "metrics": metrics, "seeds": [0]}, stale=True)


def test_a_section_says_where_its_figures_come_from():
    text = section("tracks", RESULT, stale=True)
    assert text.startswith("## tracks (stale)\n")
    assert "`python -m benchmarks.tracks --data DIR`; commit 0123456789 with changes" in text
    assert "seeds 0, 1; AMD EPYC, 2 cores." in text
    assert "- data: made here." in text
    assert claim("benchmarks.tracks") in text


def test_a_run_with_an_option_of_its_own_tells_the_claim_of_that_option():
    assert claim("benchmarks.pretext", ["--own", "--data"]).startswith("With ``--own``, each task")
    assert claim("benchmarks.pretext", ["--data"]) == claim("benchmarks.pretext")


def test_the_page_has_every_result_and_marks_the_stale_ones():
    text = page({"tracks": RESULT})
    assert "Written by `make figures`" in text
    assert "## tracks (stale)" in text


def test_the_readme_gets_its_figures_from_the_results_and_keeps_the_rest():
    results = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
    written = with_highlights(f"before\n{BEGIN}\nold\n{END}\nafter\n", results)
    assert written == with_highlights(written, results)
    assert written.startswith(f"before\n{BEGIN}\n| what |")
    assert written.endswith(f"{END}\nafter\n")
    assert "old" not in written
    assert len(list(highlights(results))) == 2 + len(HIGHLIGHTS)
    assert f"{results['ped2']['metrics']['frame_auc']:.3f} ±" in written


@pytest.mark.parametrize("readme", ["no table", f"{BEGIN}\n", f"{END}\n{BEGIN}\n"])
def test_a_readme_without_the_place_of_the_table_is_refused(readme):
    with pytest.raises(ValueError, match=r"README\.md must have the lines"):
        with_highlights(readme, {})
