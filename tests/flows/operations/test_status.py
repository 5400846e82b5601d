import pytest
from rich.console import Console

from flows.cli import tables
from flows.operations import desired_state as wanting
from flows.operations import status
from flows.operations.desired_state import Wanted
from flows.operations.services import Service
from flows.operations.status import Deployment, Status

WELL = Service(name="worker", pid=7, url="", health="ok", well=True, since="today")
ILL = Service(name="mlflow", pid=None, url="", health="not running", well=False)


def shown(found, width=120):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(tables.status_tables(found))
    return capture.get()


def made(*services, wanted=True):
    run = Deployment(name="retrain/a", schedule="0 3 * * *", next_run="soon", last_run="")
    return Status(
        wanted=wanted, services=list(services), deployments=[run], champions={"a": 3, "b": None}
    )


@pytest.mark.parametrize(
    ("services", "wanted", "well"),
    [((WELL,), True, True), ((WELL, ILL), True, False), ((ILL,), False, True), ((), True, True)],
)
def test_it_is_well_if_all_that_should_run_is(services, wanted, well):
    assert made(*services, wanted=wanted).well is well


def test_people_read_services_deployments_and_champions():
    text = shown(made(WELL, ILL))
    for line in ("worker", "not running", "retrain/a", "never", "version 3", "none yet"):
        assert line in text


def test_what_is_the_matter_is_one_line_on_a_narrow_terminal():
    paused = Deployment(
        name="retrain/a",
        schedule="0 3 * * *",
        next_run="",
        last_run="",
        problem="paused in Prefect",
    )
    text = shown(Status(wanted=True, services=[WELL], deployments=[paused], champions={}), 50)
    assert "retrain/a: paused in Prefect." in text.splitlines()


def test_where_nothing_runs_and_nothing_should_it_says_how_to_begin(workplace):
    found = status.look()
    assert (found.wanted, found.services, found.well) == (False, [], True)
    assert "'unseen up' starts everything" in shown(found)


def test_what_should_run_and_does_not_is_named(workplace, monkeypatch):
    wanting.remember(Wanted(models=("tiny",)))
    try:
        found = status.look()
    finally:
        wanting.forget()
    assert not found.well
    ill = [each.name for each in found.services if not each.well]
    assert {"mlflow", "worker", "serve-tiny"} <= set(ill)
