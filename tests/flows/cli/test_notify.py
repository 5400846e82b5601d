import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from models.errors import NotFoundError
from tests.tasks.notices.listening import receiver


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)


def unseen(*arguments, **options):
    return CliRunner().invoke(app, ["notify", *arguments], **options)


def test_receivers_are_added_tried_listed_and_removed_without_a_secret_on_the_screen():
    with receiver() as (port, told):
        url = f"json://ada:secret@127.0.0.1:{port}"
        shown = [unseen("add", "-", "--on", "alarm, drift", input=f"{url}\n")]
        shown += [unseen("test"), unseen("list"), unseen("remove", "1"), unseen("list")]
    assert [each.exit_code for each in shown] == [0] * 5
    assert told[0]["message"].strip() == "This is a test."
    assert "alarm, drift" in shown[2].output
    assert "json" not in shown[4].output
    assert not any("secret" in each.output for each in shown)


def test_a_receiver_that_does_not_take_a_test_is_told():
    unseen("add", "json://127.0.0.1:1", "--on", "alarm")
    failed = unseen("test")
    assert (failed.exit_code, "did not take it" in failed.output) == (1, True)


def test_a_test_without_a_receiver_says_how_to_add_one():
    error = unseen("test").exception
    assert isinstance(error, NotFoundError)
    assert "unseen notify add" in str(error)
