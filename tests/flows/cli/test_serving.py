import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from models.errors import InvalidInputError, NotFoundError
from tasks.serving.api_keys import Keys


def unseen(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


COMMANDS = [("serve",), ("export",), ("keys",), ("keys", "add"), ("keys", "remove")]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command):
    shown = unseen(*command, "--help")
    assert shown.exit_code == 0
    assert len(shown.output) > 200


def test_keys_are_added_listed_and_removed(tmp_path):
    path = tmp_path / "keys.json"
    assert "no keys" in unseen("keys", "list", "--keys", path).output
    made = unseen("keys", "add", "gate", "--right", "promote", "--right", "predict", "--keys", path)
    token = made.output.strip()
    assert Keys(path).find(token).rights == ("predict", "promote")
    listed = unseen("keys", "list", "--keys", path).output
    assert "gate" in listed
    assert "predict, promote" in listed
    assert token not in listed
    assert unseen("keys", "remove", "gate", "--keys", path).exit_code == 0
    assert Keys(path).read() == ()
    assert isinstance(unseen("keys", "remove", "gate", "--keys", path).exception, NotFoundError)


def test_a_server_for_other_machines_is_not_started_without_keys(tmp_path):
    path = tmp_path / "keys.json"
    found = unseen("serve", "squares", "--host", "0.0.0.0", "--keys", path)  # noqa: S104
    assert isinstance(found.exception, InvalidInputError)
    assert "must have a key" in str(found.exception)


def test_a_format_that_is_not_known_is_refused(tmp_path):
    found = unseen("export", "squares", tmp_path / "out", "--format", "tflite")
    assert isinstance(found.exception, InvalidInputError)
    assert "onnx, openvino, torch" in str(found.exception)
