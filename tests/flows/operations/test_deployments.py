"""Deployments on a real server, without a worker: nothing is run."""

import sqlite3
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from prefect import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import StateType
from prefect.states import Pending, Scheduled

from flows.operations import deployments
from flows.operations.desired_state import Wanted, pool
from models.errors import InvalidInputError, NotFoundError
from tasks.platform import events
from tests.flows.conftest import RECIPE

KNN = RECIPE.replace(":tiny", ":tiny_knn")


@pytest.fixture(scope="module")
def client(workplace):
    with get_client(sync_client=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def apply(orchestrated):
    return partial(deployments.apply, api=orchestrated[1])


def ours(client, flow="retrain"):
    tags = DeploymentFilter(tags=DeploymentFilterTags(all_=[pool()]))
    found = client.read_deployments(deployment_filter=tags)
    return {each.name: each for each in found if client.read_flow(each.flow_id).name == flow}


def automations(client, deployment):
    return client.read_resource_related_automations(f"prefect.deployment.{deployment.id}")


def run_of(client, deployment, state=None):
    return client.create_flow_run_from_deployment(deployment.id, state=state)


def later(**ago):
    return Scheduled(scheduled_time=datetime.now(UTC) + timedelta(**ago))


def test_every_recipe_has_a_clock_and_two_triggers_and_nothing_is_made_twice(client, apply):
    wanted = Wanted(recipes=(RECIPE, KNN), retrain_cron="5 4 * * *")
    apply(wanted, worker_runs=False)
    first = ours(client)
    apply(wanted, worker_runs=True)
    again = ours(client)
    assert {name: each.id for name, each in again.items()} == {
        name: each.id for name, each in first.items()
    }
    assert again.keys() == {"tiny", "tiny_knn"}
    assert again["tiny"].parameters == {"recipe": RECIPE, "if_busy": "wait"}
    assert [each.schedule.cron for each in again["tiny"].schedules] == ["5 4 * * *"]
    triggers = [each.trigger for each in automations(client, again["tiny"])]
    told = {(*each.expect, *each.match["prefect.resource.id"]) for each in triggers}
    assert len(triggers) == 2
    assert told == {
        (events.DATA_VERSIONED, "unseen.dataset.tiny"),
        (events.DRIFT_DETECTED, "unseen.model.tiny"),
    }


def test_what_is_wanted_no_more_goes_with_its_triggers(client, apply):
    apply(Wanted(recipes=(RECIPE, KNN)), worker_runs=True)
    dropped = ours(client)["tiny_knn"]
    apply(Wanted(recipes=(RECIPE,), retrain_cron=""), worker_runs=True)
    assert ours(client).keys() == {"tiny"}
    assert ours(client)["tiny"].schedules == []
    assert automations(client, dropped) == []


@pytest.mark.parametrize(
    ("if_busy", "becomes"), [("wait", "AwaitingConcurrencySlot"), ("refuse", "Cancelled")]
)
def test_a_second_run_waits_or_is_refused_until_the_first_is_known_to_be_dead(
    client, apply, if_busy, becomes
):
    wanted = Wanted(recipes=(RECIPE,), if_busy=if_busy, retrain_cron="")
    apply(wanted, worker_runs=True)
    deployment = ours(client)["tiny"]
    first, second, third = (run_of(client, deployment, later(hours=1)) for _ in range(3))
    client.set_flow_run_state(first.id, Pending())
    client.set_flow_run_state(second.id, Pending())
    assert client.read_flow_run(second.id).state_name == becomes
    apply(wanted, worker_runs=True)
    assert client.read_flow_run(first.id).state_type == StateType.PENDING
    apply(wanted, worker_runs=False)
    assert client.read_flow_run(first.id).state_type == StateType.CRASHED
    client.set_flow_run_state(third.id, Pending())
    assert client.read_flow_run(third.id).state_type == StateType.PENDING
    apply(wanted, worker_runs=False)


def test_of_runs_missed_by_the_clock_the_last_is_made_up_for_and_what_was_asked_for_stays(
    client, apply, orchestrated
):
    wanted = Wanted(recipes=(RECIPE,), retrain_cron="")
    apply(wanted, worker_runs=True)
    deployment = ours(client)["tiny"]
    missed = [run_of(client, deployment, later(hours=-ago)) for ago in (3, 1, 2)]
    asked = run_of(client, deployment, later(hours=-4))
    with sqlite3.connect(orchestrated[0] / ".unseen" / "prefect" / "prefect.db") as database:
        for run in missed:  # as the server's own clock makes them
            database.execute("UPDATE flow_run SET auto_scheduled = 1 WHERE id = ?", [str(run.id)])
    apply(wanted, worker_runs=False)
    left = {run.id for run in deployments._runs(client, [StateType.SCHEDULED])}
    assert left & {asked.id, *(run.id for run in missed)} == {asked.id, missed[1].id}


def test_an_unknown_recipe_or_schedule_is_refused_before_anything_is_changed(client, apply):
    before = ours(client)
    for wanted, error in (
        (Wanted(recipes=("srews",)), NotFoundError),
        (Wanted(recipes=(RECIPE, RECIPE)), InvalidInputError),
        (Wanted(recipes=(RECIPE,), retrain_cron="at tea time"), InvalidInputError),
        (Wanted(recipes=(RECIPE,), if_busy="hurry"), InvalidInputError),
    ):
        with pytest.raises(error):
            apply(wanted, worker_runs=True)
    assert {name: each.updated for name, each in ours(client).items()} == {
        name: each.updated for name, each in before.items()
    }


def test_recipes_of_one_model_make_one_model(workplace):
    assert deployments.models(Wanted(recipes=("walkway", "walkway_jigsaw", "digits"))) == (
        "walkway",
        "digits",
    )
