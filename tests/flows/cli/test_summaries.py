import pytest

from flows.cli import output
from flows.cli.summaries import monitor_summary, retrain_summary
from tasks.records import Decision, Monitored
from tests.flows.cli.test_tables import shown


def decided(champion):
    return Decision(
        action="promote",
        name="squares",
        version=1,
        champion=champion,
        former=None,
        why="It is better than chance.",
        who="Ada",
        when="2026-01-01T00:00:00",
    )


@pytest.mark.parametrize(
    ("champion", "outcome", "last"),
    [(1, "champion", "unseen serve squares"), (2, "not promoted", "unseen history squares")],
)
def test_a_retrain_ends_with_a_command_to_copy_and_addresses_are_not_broken(
    settled, capsys, champion, outcome, last
):
    summary = retrain_summary(decided(champion), "f" * 36, "http://127.0.0.1:4200/api")
    output.console._width = 60
    try:
        output.show(lambda: summary, dict)
    finally:
        output.console._width = None
    text = capsys.readouterr().out
    lines = [line.rstrip() for line in text.splitlines()]
    assert f"squares 1: {outcome}." in text
    assert lines[-1] == last
    assert "its card      unseen card squares@1" in lines
    assert f"the flow run  http://127.0.0.1:4200/runs/flow-run/{'f' * 36}" in lines


def test_a_look_at_drift_tells_its_verdict_and_its_report():
    found = Monitored(
        name="squares", version=1, verdict="drift", why="far", frames=9, run_id="r", event_id="e"
    )
    text = shown(monitor_summary(found))
    assert "squares version 1: drift" in text
    assert "unseen.drift.detected of unseen.model.squares" in text
