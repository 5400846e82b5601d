import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from models.errors import InvalidInputError


def unseen(*arguments):
    return CliRunner().invoke(app, arguments)


def test_the_command_explains_itself():
    shown = unseen("console", "--help")
    assert shown.exit_code == 0
    assert "--serving" in shown.output


@pytest.mark.parametrize("given", ["walkway", "=http://127.0.0.1:8000", "walkway=127.0.0.1:8000"])
def test_serving_processes_are_named_with_their_address(given):
    refused = unseen("console", "--serving", given)
    assert isinstance(refused.exception, InvalidInputError)
    assert "NAME=URL" in str(refused.exception)
