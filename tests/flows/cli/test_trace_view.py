from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from flows.cli.trace_view import render, render_prediction, render_restored, render_sightings
from tasks.lineage.restore_data import restore
from tasks.lineage.trace import trace
from tasks.lineage.trace_file import trace_file
from tasks.lineage.trace_records import TracedFlow, TracedStatistics
from tasks.serving.trace_prediction import TracedPrediction
from tests.tasks.deployed import VALIDATION
from tests.tasks.serving.monitoring.test_prediction_log import ONE


def show(renderable):
    console = Console(width=100, file=StringIO())
    console.print(renderable)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def found(settled):
    return trace("squares")


def test_a_trace_is_told_in_full(found):
    text = show(render(found))
    assert "squares version 1  challenger, champion" in text
    for name in (found.data.version.digest, found.data.version.dvc_md5):
        assert name in text
    for name in (
        found.model.digest,
        found.run.run_id,
        found.pretext.run.run_id,
        found.git_commit,
        VALIDATION.run_id,
    ):
        assert name[:12] in text
        assert name[:13] not in text
    for part in (
        "FINISHED",
        "metric=frame_auc",
        "shrinkage=0.01",
        "seed 0",
        "32 files, 13.9 kB",
        "all 32 files in DVC's cache",
        "no remote",
        "8 of 9 expectations met",
        "warning: enough images",
        "frame_auc  0.875",
        "promote  version 1  serving version 1",
        "Ada: It is better.",
        "difference 0.01",
        "trained outside of a flow",
        "the same data version",
    ):
        assert part in text, text


def test_statistics_are_told_with_their_parent_and_the_difference(found):
    statistics = TracedStatistics(
        digest="a" * 64,
        num_clips=12,
        parent_run_id="b" * 32,
        parent_digest="c" * 64,
        parent_data_digest="d" * 32 + ".dir",
        added=("good/13",),
        removed=tuple(f"good/{number:02}" for number in range(10)),
        updates=2,
        why="",
    )
    text = show(render(replace(found, statistics=statistics)))
    assert f"statistics  {'a' * 12}  12 clips" in text
    assert f"updated from  statistics {'c' * 12}  run {'b' * 12}  2 updates" in text
    assert f"of data  {'d' * 32}.dir" in text
    assert "added  1  good/13" in text
    assert "removed  10  good/00, good/01" in text
    assert "good/09" not in text
    alone = replace(statistics, parent_run_id="", why="There was no run.")
    assert "of all clips. There was no run." in show(render(replace(found, statistics=alone)))
    assert "updated from" not in show(render(found))


def test_a_recipe_is_told_part_by_part(found):
    layer = {"class": "models.one_class.Layer", "kernels": 8}
    recipe = {
        "name": "squares",
        "class": "flows.recipes.Recipe",
        "detector": {
            "class": "models.one_class.Deep.Config",
            "seed": 3,
            "power": 0.5,
            "layer": layer,
        },
    }
    lines = [
        line.strip("│├└─ ") for line in show(render(replace(found, recipe=recipe))).split("\n")
    ]
    start = lines.index("detector  Deep")
    assert lines[start + 1 : start + 4] == ["power=0.5, seed=3", "layer  Layer", "kernels=8"]


def test_a_trace_fits_a_terminal(found):
    assert max(map(len, show(render(found)).splitlines())) <= 100


def test_what_is_missing_is_said(found):
    gone = replace(
        found,
        run=replace(found.run, found=False),
        data=replace(found.data, available=30, missing=2),
        flow=TracedFlow(flow_run_id="1b9d6bcd"),
        notes=("Run 7 was deleted.",),
        decisions=(),
    )
    text = show(render(gone))
    assert f"run  {found.run.run_id[:12]}  deleted" in text
    assert "30 files in DVC's cache, 2 missing" in text
    away = replace(found.data, available=30, missing=2, remote="s3://b")
    assert "remote s3://b does not answer" in show(render(replace(found, data=away)))
    there = replace(away, in_remote=1)
    assert "remote s3://b has 1 of them" in show(render(replace(found, data=there)))
    assert "Prefect server did not answer" in text
    assert "note: Run 7 was deleted." in text
    assert "never compared with a champion" in text
    assert "because the list of files is lost" in show(
        render(replace(found, data=replace(found.data, available=None, missing=None)))
    )


def test_a_version_that_does_not_serve_points_to_the_one_that_does(found):
    other = replace(found, model=replace(found.model, champion=4))
    assert "version 4 serves now" in show(render(other))


def test_a_flow_run_comes_with_its_address(found):
    flow = TracedFlow(flow_run_id="1b9d", url="http://here/runs/flow-run/1b9d", name="calm-owl")
    text = show(render(replace(found, flow=flow)))
    assert "1b9d  calm-owl" in text
    assert "http://here/runs/flow-run/1b9d" in text


def test_who_used_a_file_is_a_table(settled, tmp_path):
    path = settled.source / "train" / "good" / "01" / "000.png"
    text = show(render_sightings(trace_file(path)))
    assert "train/good/01/000.png" in text
    assert "detector, pretext" in text
    assert "now" in text
    (tmp_path / "other").write_text("other")
    text = show(render_sightings(trace_file(tmp_path / "other")))
    assert "None of 1 registered model versions used this file." in text
    lost = replace(trace_file(path), unknown=("abc.dir",))
    assert "note: the list of files of data version abc.dir is lost." in show(
        render_sightings(lost)
    )


def test_what_was_restored_is_one_sentence(settled, tmp_path):
    text = " ".join(show(render_restored(restore("squares", tmp_path / "restored"))).split())
    assert text.startswith("32 files (13.9 kB) of squares ")
    assert "on which squares version 1 was trained" in text


def test_a_prediction_is_shown_with_its_files_its_highest_scores_and_what_does_not_fit():
    found = TracedPrediction(prediction=ONE, trace=None, notes=("The version is gone.",))
    text = show(render_prediction(found))
    assert "prediction r-1" in text
    assert "squares version 3" in text
    assert "the key 'gate'" in text
    assert "c" * 64 in text
    assert "1 of 2 frames anomalous" in text
    assert text.index("frame 6: score 0.75, p-value 0.01") < text.index("frame 5: score 0.25")
    assert "note: The version is gone." in text
