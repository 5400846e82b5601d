from flows.cli.summaries import monitor_summary, retrain_summary
from tasks.records import Decision, Monitored
from tests.flows.cli.test_tables import shown


def test_a_retrain_ends_with_its_decision_and_lines_that_can_be_copied_whole(settled):
    decision = Decision(
        action="promote",
        name="squares",
        version=1,
        champion=1,
        former=None,
        why="It is better than chance.",
        who="Ada",
        when="2026-01-01T00:00:00",
    )
    text = shown(retrain_summary(decision, "f" * 36, "http://127.0.0.1:4200/api"))
    assert "squares 1: champion. It is better than chance." in text
    lines = [line.split() for line in text.splitlines()]
    assert ["predictions", "unseen", "serve", "squares"] in lines
    assert f"http://127.0.0.1:4200/runs/flow-run/{'f' * 36}" in text


def test_a_look_at_drift_tells_its_verdict_and_its_report():
    found = Monitored(
        name="squares", version=1, verdict="drift", why="far", frames=9, run_id="r", event_id="e"
    )
    text = shown(monitor_summary(found))
    assert "squares version 1: drift" in text
    assert "unseen.drift.detected of unseen.model.squares" in text
