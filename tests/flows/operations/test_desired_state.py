import pytest

from flows.operations import desired_state as wanting
from flows.operations.desired_state import Wanted
from models.errors import InvalidInputError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    folder = tmp_path / "my project & co"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)


def test_nothing_is_wanted_before_up_and_after_down():
    assert wanting.remembered() is None
    wanting.forget()
    wanting.remember(Wanted(recipes=("digits",), timezone="Europe/Berlin"))
    wanting.forget()
    assert wanting.remembered() is None
    wanting.forget()


def test_after_down_the_options_are_still_those_of_the_last_time():
    wanting.remember(Wanted(recipes=("digits",), timezone="Europe/Berlin", serve=False))
    wanting.forget()
    again = wanting.changed({"recipes": None})
    assert again == Wanted(recipes=("digits",), timezone="Europe/Berlin", serve=False)
    wanting.remember(again)
    assert wanting.remembered() == again


def test_what_was_wanted_is_remembered_and_only_what_is_given_changes():
    wanting.remember(Wanted(recipes=("digits", "walkway"), models=("digits",), serve_port=9000))
    found = wanting.changed({"monitor_minutes": 5, "recipes": None})
    assert found.recipes == ("digits", "walkway")
    assert (found.monitor_minutes, found.serve_port) == (5, 9000)
    assert wanting.remembered() == Wanted(
        recipes=("digits", "walkway"), models=("digits",), serve_port=9000
    )


@pytest.mark.parametrize(
    "given", [{"recipes": ()}, {"monitor_minutes": -1}, {"timezone": "Mars/Base"}, {"timezone": ""}]
)
def test_settings_without_sense_are_refused(given):
    with pytest.raises(InvalidInputError):
        wanting.changed(given)
