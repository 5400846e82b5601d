import inspect

from typer.testing import CliRunner

from flows.cli import app
from flows.retrain import retrain as flow
from flows.training_cli import retrain


def test_the_command_has_an_option_for_every_parameter_of_the_flow():
    assert list(inspect.signature(retrain).parameters) == list(
        inspect.signature(flow.fn).parameters
    )


def test_it_stands_first_in_the_help():
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).output
    assert 0 < shown.index(" retrain ") < shown.index(" adapt ")
