"""What a crash left on a real server, before a worker starts."""

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from prefect import get_client
from prefect.client.schemas.objects import StateType
from prefect.states import Pending, Scheduled

from flows.operations import deployments, worker
from flows.operations.desired_state import Wanted
from tests.flows.conftest import RECIPE


@pytest.fixture(scope="module")
def client(workplace):
    with get_client(sync_client=True) as opened:
        yield opened


@pytest.fixture
def deployment(client, orchestrated, request):
    """The retrain deployment, made anew."""
    for each in client.read_deployments():
        client.delete_deployment(each.id)
    wanted = Wanted(recipes=(RECIPE,), retrain_cron="", if_busy=getattr(request, "param", "wait"))
    deployments.apply(wanted, api=orchestrated[1])
    return client.read_deployment_by_name("retrain/tiny")


def run_of(client, deployment, **ahead):
    state = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(**ahead))
    return client.create_flow_run_from_deployment(deployment.id, state=state)


@pytest.mark.parametrize(
    ("deployment", "becomes"),
    [("wait", "AwaitingConcurrencySlot"), ("refuse", "Cancelled")],
    indirect=["deployment"],
)
def test_a_second_run_waits_or_is_refused_until_the_first_is_known_to_be_dead(
    client, deployment, becomes, orchestrated
):
    first, second, third = (run_of(client, deployment, hours=1) for _ in range(3))
    client.set_flow_run_state(first.id, Pending())
    client.set_flow_run_state(second.id, Pending())
    assert client.read_flow_run(second.id).state_name == becomes
    worker.clear(orchestrated[1])
    assert client.read_flow_run(first.id).state_type == StateType.CRASHED
    client.set_flow_run_state(third.id, Pending())
    assert client.read_flow_run(third.id).state_type == StateType.PENDING
    worker.clear(orchestrated[1])


def test_of_runs_missed_by_the_clock_the_last_is_made_up_for_and_what_was_asked_for_stays(
    client, deployment, orchestrated
):
    missed = [run_of(client, deployment, hours=-ago) for ago in (3, 1, 2)]
    asked = run_of(client, deployment, hours=-4)
    with sqlite3.connect(orchestrated[0] / ".unseen" / "prefect" / "prefect.db") as database:
        for run in missed:  # as the server's own clock makes them
            database.execute("UPDATE flow_run SET auto_scheduled = 1 WHERE id = ?", [str(run.id)])
    worker.clear(orchestrated[1])
    left = {run.id for run in worker.runs(client, [StateType.SCHEDULED])}
    assert left & {asked.id, *(run.id for run in missed)} == {asked.id, missed[1].id}
