import logging

from tasks.platform import progress
from tasks.platform.progress import bar, waiting


def test_hands_on_every_element_and_writes_nothing_into_a_pipe(capfd):
    assert list(bar(range(3), total=3, description="counting")) == [0, 1, 2]
    assert capfd.readouterr().err == ""


def test_where_nobody_watches_the_log_tells_how_far_it_is(monkeypatch, caplog):
    monkeypatch.setattr(progress, "SECONDS", 0)
    with caplog.at_level(logging.INFO):
        assert list(bar(range(3), total=3, description="counting")) == [0, 1, 2]
    assert [each.partition(", about")[0] for each in caplog.messages] == [
        "counting: 1 of 3",
        "counting: 2 of 3",
    ]


def test_waiting_is_shown_on_a_terminal_alone(monkeypatch, capfd):
    with waiting("Starting"):
        pass
    assert capfd.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with waiting("Starting"):
        pass
    assert "Starting" in capfd.readouterr().err
