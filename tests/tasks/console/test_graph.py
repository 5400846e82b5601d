from dataclasses import replace

from tasks.console.graph import draw
from tasks.lineage.trace_records import (
    Trace,
    TracedData,
    TracedFlow,
    TracedModel,
    TracedPretext,
    TracedRun,
    TracedSource,
    TracedStatistics,
)
from tasks.records import DataVersion, Decision, Validation

DATA = TracedData(
    version=DataVersion(
        name="squares",
        digest="0" * 32 + ".dir",
        dvc_md5="1" * 32 + ".dir",
        git_commit="2" * 40,
        remote=None,
        num_files=3,
        num_bytes=1_500_000,
    ),
    available=3,
    missing=0,
)
RUN = TracedRun(run_id="3" * 32, found=True, seconds=12.4)
DECISION = Decision(
    action="promote",
    name="squares",
    version=1,
    champion=1,
    former=None,
    why="It is the first.",
    who="Ada <ada@example.org>",
    when="2026-01-02T03:04:05.678901+00:00",
)
TRACE = Trace(
    reference="squares",
    model=TracedModel(
        name="squares",
        version=1,
        aliases=("champion",),
        champion=1,
        digest="4" * 64,
        created="2026-01-02T03:00:00+00:00",
        source="models:/m-5",
    ),
    run=RUN,
    recipe={"name": "squares"},
    seed=7,
    git_commit="6" * 40,
    code_version="abc",
    data=DATA,
    validation=Validation(
        run_id="8" * 32, data_digest="", suite="squares", num_expectations=9, failed=("few",)
    ),
    pretext=TracedPretext(run=RUN, backbone="pretext", data=DATA),
    source=None,
    metrics={},
    decisions=(DECISION,),
    flow=TracedFlow(flow_run_id="9", url="http://127.0.0.1:4200/runs/flow-run/9", state="Done"),
    notes=("The run is old.",),
)


def boxes(trace):
    return {box.id: box for box in draw(trace).boxes}


def arrows(trace):
    return {(arrow.source, arrow.target) for arrow in draw(trace).arrows}


def test_arrows_lead_from_the_data_to_what_serves():
    assert arrows(TRACE) == {
        ("data", "validation"),
        ("data", "pretext"),
        ("validation", "fit"),
        ("pretext", "fit"),
        ("code", "fit"),
        ("fit", "model"),
        ("flow", "model"),
        ("model", "serving"),
    }


def test_arrows_lead_to_the_right_and_join_boxes():
    layers = {name: box.layer for name, box in boxes(TRACE).items()}
    assert all(layers[source] < layers[target] for source, target in arrows(TRACE))


def test_boxes_have_the_whole_names_and_what_people_ask_first():
    found = boxes(TRACE)
    assert found["data"].name == DATA.version.digest
    assert found["data"].facts == ("squares", "3 files, 1.5 MB")
    assert found["fit"].facts == ("recipe squares", "seed 7", "12 s")
    assert found["model"].name == "4" * 64
    assert found["serving"].facts == ("since 2026-01-02T03:04:05", "Ada")
    assert found["flow"].url.endswith("/9")
    assert draw(TRACE).notes == TRACE.notes


def test_what_is_lost_or_failed_looks_so():
    lost = replace(RUN, found=False)
    trace = replace(TRACE, run=lost, data=replace(DATA, missing=2), git_commit="6" * 40 + "+dirty")
    found = boxes(trace)
    assert found["fit"].state == "lost"
    assert {found[name].state for name in ("data", "validation", "code")} == {"warning"}
    assert "2 files missing in the cache" in found["data"].facts
    assert boxes(replace(TRACE, data=replace(DATA, missing=None)))["data"].state == "warning"


def test_a_version_that_does_not_serve_has_no_last_box():
    trace = replace(TRACE, model=replace(TRACE.model, champion=2))
    assert "serving" not in boxes(trace)
    by_hand = replace(TRACE, decisions=())
    assert boxes(by_hand)["serving"].facts == ("the alias was set by hand",)


def test_without_validation_the_data_lead_to_the_fit_themselves():
    assert ("data", "fit") in arrows(replace(TRACE, validation=None, pretext=None))


def test_an_adapted_detector_shows_its_source_and_other_data():
    other = replace(DATA, version=replace(DATA.version, name="circles"))
    trace = replace(
        TRACE,
        pretext=TracedPretext(run=RUN, backbone="adapted", data=other),
        source=TracedSource(name="circles", version=3, digest="5" * 64, run=RUN, data=other),
        statistics=TracedStatistics(
            digest="7" * 64,
            num_clips=4,
            parent_run_id="",
            parent_digest="",
            parent_data_digest="",
            added=(),
            removed=(),
            updates=0,
            why="",
        ),
    )
    found = boxes(trace)
    assert found["pretext"].title == "Adaptation run"
    assert found["source"].facts == ("circles version 3",)
    assert found["statistics"].facts == ("4 clips", "of all clips")
    assert {("pretext-data", "pretext"), ("source-data", "source"), ("source", "fit")} <= arrows(
        trace
    )
