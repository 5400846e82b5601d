"""``prefect.yaml`` is what Prefect reads, and says nothing that the code does not know."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.events import DeploymentEventTrigger

from tasks.platform import events

ROOT = Path(__file__).parents[1]
CONTENT = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = {each["name"]: each for each in CONTENT["deployments"]}

each_deployment = pytest.mark.parametrize("name", DEPLOYMENTS)


def test_prefect_reads_it():
    read = PrefectYamlModel.model_validate(CONTENT)
    assert [each.work_pool.name for each in read.deployments] == [
        "unseen-process",
        "unseen-docker",
        "unseen-kubernetes",
    ]


@each_deployment
def test_its_flow_exists_and_takes_its_parameters(name):
    path, _, flow = DEPLOYMENTS[name]["entrypoint"].partition(":")
    assert (ROOT / path).is_file()
    found = getattr(import_module(path.removesuffix(".py").replace("/", ".")), flow)
    assert DEPLOYMENTS[name]["parameters"].keys() <= inspect.signature(found.fn).parameters.keys()


@each_deployment
def test_it_waits_for_the_events_that_are_sent(name):
    triggers = [DeploymentEventTrigger(**each) for each in DEPLOYMENTS[name]["triggers"]]
    told = {(*each.expect, *each.match["prefect.resource.id"]) for each in triggers}
    assert told == {
        (events.DATA_VERSIONED, events.dataset("walkway")),
        (events.DRIFT_DETECTED, events.model("walkway")),
    }


@each_deployment
def test_one_retrain_at_a_time_and_no_secret_that_would_be_written_into_a_deployment(name):
    assert DEPLOYMENTS[name]["concurrency_limit"]["limit"] == 1
    text = yaml.safe_dump(DEPLOYMENTS[name])
    assert "prefect.blocks" not in text
    assert not any(word in text for word in ("KEY", "PASSWORD", "SECRET", "TOKEN"))
