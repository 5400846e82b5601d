"""What a person changes in Prefect, on a real server, and what ``up`` then makes of it."""

from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from prefect import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.schedules import CronSchedule
from prefect.server.schemas.schedules import CronSchedule as ServerSchedule

from flows.operations import deployments
from flows.operations.desired_state import Wanted
from tests.flows.conftest import RECIPE

WANTED = Wanted(recipes=(RECIPE,), retrain_cron="5 4 * * *")


@pytest.fixture(scope="module")
def client(workplace):
    with get_client(sync_client=True) as opened:
        yield opened


@pytest.fixture
def apply(orchestrated, client):
    """Function that does what ``up`` does; the deployment was made, and nobody has changed it."""
    run = partial(deployments.apply, api=orchestrated[1])
    for each in client.read_deployments():
        client.delete_deployment(each.id)
    assert run(WANTED) == []
    assert run(WANTED) == []
    return run


def there(client):
    return client.read_deployment_by_name("retrain/tiny")


def cron(deployment):
    return [(each.schedule.cron, each.schedule.timezone) for each in deployment.schedules]


def test_changes_of_cron_time_zone_parameters_and_limits_stay_and_are_told(client, apply):
    before = there(client)
    theirs = CronSchedule(cron="0 6 * * 1", timezone="Asia/Tokyo")
    client.update_deployment_schedule(before.id, before.schedules[0].id, schedule=theirs)
    parameters = {**before.parameters, "seed": 3}
    change = DeploymentUpdate(parameters=parameters, concurrency_limit=2, tags=[*before.tags, "x"])
    client.update_deployment(before.id, change)
    told = "\n".join(apply(WANTED))
    after = there(client)
    assert cron(after) == [("0 6 * * 1", "Asia/Tokyo")]
    assert (after.parameters["seed"], after.global_concurrency_limit.limit) == (3, 2)
    assert "x" in after.tags
    assert "runs 0 6 * * 1 Asia/Tokyo in Prefect, 5 4 * * * UTC by the options" in told
    assert "parameter seed is 3 in Prefect, None by the options" in told
    assert "at most 2 runs at once" in told


def test_pauses_and_added_schedules_and_disabled_automations_stay_and_are_told(client, apply):
    before = there(client)
    added = CronSchedule(cron="0 12 * * *", timezone="UTC")
    client.create_deployment_schedules(before.id, [(added, True)])
    client.update_deployment_schedule(before.id, before.schedules[0].id, active=False)
    client.pause_deployment(before.id)
    one, other = client.read_resource_related_automations(f"prefect.deployment.{before.id}")
    client.pause_automation(one.id)
    client.delete_automation(other.id)
    told = "\n".join(apply(WANTED))
    after = there(client)
    assert after.paused
    assert {(each.schedule.cron, each.active) for each in after.schedules} == {
        ("5 4 * * *", False),
        ("0 12 * * *", True),
    }
    (left,) = client.read_resource_related_automations(f"prefect.deployment.{before.id}")
    assert (left.id, left.enabled) == (one.id, False)
    for line in (
        "retrain/tiny: paused in Prefect",
        "its schedule is paused",
        "a schedule that was added in Prefect: 0 12 * * * UTC",
        f"the automation '{one.name}' is disabled in Prefect",
        f"the automation '{other.name}' was taken away in Prefect",
    ):
        assert line in told


def test_an_option_changes_what_it_says_and_nothing_else(client, apply):
    before = there(client)
    theirs = CronSchedule(cron="0 6 * * 1", timezone="Asia/Tokyo")
    client.update_deployment_schedule(before.id, before.schedules[0].id, schedule=theirs)
    client.update_deployment_schedule(before.id, before.schedules[0].id, active=False)
    client.update_deployment(before.id, DeploymentUpdate(concurrency_limit=2))
    apply(Wanted(recipes=(RECIPE,), timezone="Europe/Berlin"), given={"timezone"})
    after = there(client)
    assert cron(after) == [("0 6 * * 1", "Europe/Berlin")]
    assert not after.schedules[0].active
    apply(Wanted(recipes=(RECIPE,), if_busy="refuse"), given={"if_busy"})
    after = there(client)
    assert after.parameters["if_busy"] == "refuse"
    assert after.concurrency_options.collision_strategy == "CANCEL_NEW"
    assert after.global_concurrency_limit.limit == 2
    apply(Wanted(recipes=(RECIPE,), retrain_cron=""), given={"retrain_cron"})
    assert there(client).schedules == []


def test_a_schedule_that_was_taken_away_comes_back_only_when_asked_for(client, apply):
    before = there(client)
    client.delete_deployment_schedule(before.id, before.schedules[0].id)
    assert "was taken away" in "\n".join(apply(WANTED))
    assert there(client).schedules == []
    assert apply(WANTED, given={"retrain_cron"}) == []
    assert cron(there(client)) == [("5 4 * * *", "UTC")]


def test_a_moved_project_and_another_python_are_followed_and_other_job_variables_stay(
    client, apply
):
    before = there(client)
    moved = {
        "working_dir": "/nowhere",
        "command": "/old/python -m prefect.engine",
        "env": {"A": "1"},
    }
    client.update_deployment(before.id, DeploymentUpdate(job_variables=moved))
    assert apply(WANTED) == []
    assert there(client).job_variables == {**before.job_variables, "env": {"A": "1"}}
    client.update_deployment(
        before.id,
        DeploymentUpdate(
            job_variables={**before.job_variables, "command": "nice x -m prefect.engine"}
        ),
    )
    apply(WANTED)
    assert there(client).job_variables["command"] == "nice x -m prefect.engine"


async def runs_by_local_day(schedule, start):
    """Times at which a server, asking for the next run every quarter of an hour, would run it."""
    found = set()
    for step in range(4 * 24 * 3):
        moment = start + timedelta(minutes=15 * step)
        found |= {each.astimezone(UTC) for each in await schedule.get_dates(n=1, start=moment)}
    return [each.astimezone(ZoneInfo(schedule.timezone)).date() for each in sorted(found)]


@pytest.mark.parametrize("when", ["30 2 * * *", "0 3 * * *"])
@pytest.mark.parametrize(
    "before", [datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC)]
)
def test_there_is_one_run_on_the_day_when_the_clocks_change(client, apply, when, before):
    import asyncio

    wanted = Wanted(recipes=(RECIPE,), retrain_cron=when, timezone="Europe/Berlin")
    assert apply(wanted, given={"retrain_cron", "timezone"}) == []
    ((rule, zone),) = cron(there(client))
    days = asyncio.run(runs_by_local_day(ServerSchedule(cron=rule, timezone=zone), before))
    assert len(days) == len(set(days)) >= 3
