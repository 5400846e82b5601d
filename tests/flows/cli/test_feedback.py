import json

import pytest
from typer.testing import CliRunner

from flows.cli import feedback
from flows.cli.main import app
from models.errors import InvalidInputError
from tests.conftest import make_repository
from tests.tasks.feedback.scoring import scored


@pytest.fixture
def here(tmp_path, monkeypatch):
    make_repository(tmp_path)
    monkeypatch.chdir(tmp_path)
    scored("squares", [(b"calm", 0.9)], [(b"alarm", 0.01)])


def unseen(*arguments):
    return CliRunner().invoke(app, arguments)


def waiting():
    return [each["prediction"] for each in json.loads(unseen("review", "squares", "--json").output)]


def test_the_inbox_is_shown_and_judged_by_its_ids(here):
    assert waiting() == ["r1", "r0"]
    assert "alarm" in unseen("review", "squares").output
    assert "r1: defect dent" in unseen("review", "squares", "r1", "--as", "defect:dent").output
    assert [
        item["prediction"] for item in json.loads(unseen("review", "squares", "--json").output)
    ] == ["r0"]
    assert "r1 is in the inbox again" in unseen("review", "squares", "--as", "undo").output
    assert "Nothing to judge" in unseen("review", "circles").output


def test_a_verdict_without_a_prediction_is_refused(here):
    error = unseen("review", "squares", "--as", "normal").exception
    assert isinstance(error, InvalidInputError)
    assert "unseen review squares ID ... --as normal" in str(error)


def test_keys_judge_undo_and_move(here, monkeypatch, capsys):
    from tasks.feedback import inbox

    pressed = iter("jknunsq")
    monkeypatch.setattr("typer.getchar", lambda: next(pressed))
    feedback._by_keys("squares", inbox.inbox("squares"))
    assert list(pressed) == ["q"]  # the last one was judged
    told = capsys.readouterr().out
    assert "1/2  alarm" in told
    assert "Undone: r1" in told
    assert [item.prediction for item in inbox.inbox("squares")] == []
