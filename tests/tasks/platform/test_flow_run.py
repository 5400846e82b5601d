import os

import pytest
from prefect import flow, get_client, task
from prefect.exceptions import Pause
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.platform import flow_run
from tasks.records import DataVersion

VERSION = DataVersion(
    name="cookies",
    digest="0123456789abcdef0123456789abcdef.dir",
    dvc_md5="f" * 32,
    git_commit="1" * 40,
    remote=None,
    num_files=3,
    num_bytes=300,
)


@task(on_completion=[flow_run.name_after_data])
def bring_in():
    return VERSION


@flow(flow_run_name=flow_run.first_name)
def retrain(recipe=None, name=None):
    begun = flow_run.current()
    with get_client(sync_client=True) as client:
        first = client.read_flow_run(begun).name
    bring_in()
    flow_run.mark(tags=["seen", "seen"])
    return begun, first, flow_run.flow_name(), flow_run.is_deployed()


@pytest.fixture
def client(orchestrated):
    settings = temporary_settings({PREFECT_API_URL: orchestrated[1]})
    with settings, get_client(sync_client=True) as opened:
        yield opened


@pytest.mark.parametrize(
    ("parameters", "about"),
    [
        ({"recipe": "/some/where/mine.py:screws"}, "screws"),
        ({"recipe": "mine/nuts.toml"}, "nuts"),
        ({"recipe": "screws", "name": "bolts"}, "bolts"),
    ],
)
def test_a_flow_run_is_named_by_recipe_and_then_by_data(client, parameters, about):
    run_id, first, name, deployed = retrain(**parameters)
    assert (first, name, deployed) == (f"retrain {about}", "retrain", False)
    found = client.read_flow_run(run_id)
    assert found.name == f"{about} 01234567"
    assert sorted(found.tags) == ["data:cookies", "digest:01234567", f"recipe:{about}", "seen"]


def test_without_a_recipe_the_data_name_the_run(client):
    assert client.read_flow_run(retrain()[0]).name == "cookies 01234567"


def test_a_postponed_run_is_scheduled_again_and_ends_its_process(client):
    @flow
    def waiting():
        flow_run.postpone(60, "ada is at it")

    with pytest.raises(Pause) as ended:
        waiting()
    state = ended.value.state
    assert (state.name, state.message) == ("AwaitingRetry", "ada is at it")
    (found,) = [each for each in client.read_flow_runs() if each.state.message == "ada is at it"]
    assert found.state.type == "SCHEDULED"
    assert found.next_scheduled_start_time is not None


def test_outside_of_a_flow_there_is_nothing_to_name():
    assert (flow_run.current(), flow_run.flow_name()) == ("", "")
    flow_run.mark("name", ["tag"])


def test_our_loggers_tell_the_run_unless_the_environment_says_otherwise(monkeypatch):
    monkeypatch.delenv("PREFECT_LOGGING_EXTRA_LOGGERS", raising=False)
    monkeypatch.setenv("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "warn")
    flow_run.set_up_logs()
    assert "tasks" in os.environ["PREFECT_LOGGING_EXTRA_LOGGERS"].split(",")
    assert os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] == "warn"
