import inspect

from typer.testing import CliRunner

from flows.cli.main import app
from flows.cli.training import retrain
from flows.retrain import retrain as flow


def test_the_command_has_an_option_for_every_parameter_of_the_flow():
    options = inspect.signature(retrain).parameters.keys()
    assert options - {"explain", "as_json"} == inspect.signature(flow.fn).parameters.keys()


def test_it_stands_first_in_the_help():
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).output
    assert 0 < shown.index(" retrain ") < shown.index(" adapt ")
