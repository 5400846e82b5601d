"""Reconcile: bring a deployment up to date without undoing what a person changed in Prefect."""

import shlex
from collections.abc import Collection, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.objects import ConcurrencyOptions, DeploymentSchedule, VersionInfo
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.deployments.runner import RunnerDeployment

from tasks.platform.identity import pool

SLUG = "unseen"
"""Of the schedule that ``unseen up`` makes; any other is a person's."""
CLOCK = {"retrain": {"retrain_cron", "timezone"}, "monitor": {"monitor_minutes"}}
"""Options that change the schedule, of each flow."""


def update(
    client: SyncPrefectClient,
    there: DeploymentResponse,
    planned: RunnerDeployment,
    given: Collection[str],
    code: VersionInfo,
) -> list[str]:
    """Change what the given options say, and the code; list what else differs.

    Args:
        client: Of the Prefect server.
        there: The deployment as it is.
        planned: As it would be made now.
        given: Names of the options that were given this time.
        code: Version of the code.

    Returns:
        Differences that were left alone, in words.
    """
    told = set(given)
    changes = _changes(there, planned, told)
    if there.version != code.version:
        changes["version_info"] = code
    if changes:
        client.update_deployment(there.id, DeploymentUpdate(**changes))
        there = client.read_deployment(there.id)
    clock = CLOCK[planned.flow_name or ""] & told
    if clock:
        _set_clock(client, there, planned, clock)
        there = client.read_deployment(there.id)
    name = f"{planned.flow_name}/{there.name}"
    found = [*_differences(there, planned), *_triggers(client, there, planned)]
    return [f"{name}: {difference}" for difference in found]


def _changes(
    there: DeploymentResponse, planned: RunnerDeployment, told: set[str]
) -> dict[str, Any]:
    """What must be otherwise for the runs to find their code, and what was asked for."""
    found: dict[str, Any] = {}
    if there.entrypoint != planned.entrypoint:
        found["entrypoint"] = planned.entrypoint
    schema = planned._parameter_openapi_schema.model_dump(exclude_unset=True)  # noqa: SLF001 - as Prefect's own update
    if there.parameter_openapi_schema != schema:
        found["parameter_openapi_schema"] = schema
    job = dict(there.job_variables)
    if shlex.split(job.get("command") or "")[1:] in ([], ["-m", "prefect.engine"]):
        job["command"] = planned.job_variables["command"]
    if not Path(job.get("working_dir") or "").is_dir():  # the workplace was moved
        job["working_dir"] = planned.job_variables["working_dir"]
    if job != there.job_variables:
        found["job_variables"] = job
    if "if_busy" in told and planned.flow_name == "retrain":
        options = planned.concurrency_options
        assert options is not None
        found["parameters"] = {**there.parameters, "if_busy": planned.parameters["if_busy"]}
        found["concurrency_options"] = ConcurrencyOptions(
            collision_strategy=options.collision_strategy
        )
    return found


def _set_clock(
    client: SyncPrefectClient,
    there: DeploymentResponse,
    planned: RunnerDeployment,
    given: set[str],
) -> None:
    """Make our schedule what the options say; whether it is paused stays, and so do others."""
    ours = _ours(there.schedules)
    wanted = planned.schedules[0].schedule if planned.schedules else None
    if wanted is None:
        if ours:
            client.delete_deployment_schedule(there.id, ours.id)
    elif ours is None:
        made = DeploymentScheduleCreate(schedule=wanted, active=True, slug=SLUG)
        client.create_deployment_schedules(there.id, [made])
    else:
        if isinstance(wanted, CronSchedule) and isinstance(ours.schedule, CronSchedule):
            before = {"retrain_cron": ours.schedule.cron, "timezone": ours.schedule.timezone}
            after = {"retrain_cron": wanted.cron, "timezone": wanted.timezone}
            chosen = {**before, **{key: after[key] for key in given}}
            wanted = CronSchedule(cron=chosen["retrain_cron"], timezone=chosen["timezone"])
        client.update_deployment_schedule(there.id, ours.id, schedule=wanted)


def _ours(schedules: list[DeploymentSchedule]) -> DeploymentSchedule | None:
    return next((each for each in schedules if each.slug == SLUG), None)


def _differences(there: DeploymentResponse, planned: RunnerDeployment) -> Iterator[str]:
    if there.paused:
        yield "paused in Prefect"
    yield from _of_schedules(there, planned)
    for key in sorted({*there.parameters, *planned.parameters}):
        here, wanted = there.parameters.get(key), planned.parameters.get(key)
        if here != wanted:
            yield f"parameter {key} is {here!r} in Prefect, {wanted!r} by the options"
    limit = there.global_concurrency_limit
    if (limit.limit if limit else None) != planned.concurrency_limit:
        yield f"at most {limit.limit if limit else 'any number of'} runs at once"
    options, wanted_options = there.concurrency_options, planned.concurrency_options
    strategy = options.collision_strategy if options else None
    if wanted_options and strategy != wanted_options.collision_strategy:
        yield f"a run beyond the limit is told {strategy.value if strategy else 'nothing'}"
    if there.work_pool_name != pool():
        yield f"moved to the work pool {there.work_pool_name}"


def _of_schedules(there: DeploymentResponse, planned: RunnerDeployment) -> Iterator[str]:
    ours = _ours(there.schedules)
    wanted = planned.schedules[0].schedule if planned.schedules else None
    if ours and not ours.active:
        yield "its schedule is paused in Prefect"
    if wanted and not ours:
        yield f"its schedule ({_words(wanted)}) was taken away in Prefect"
    elif ours and _words(ours.schedule) != (_words(wanted) if wanted else ""):
        by_options = _words(wanted) if wanted else "never"
        yield f"runs {_words(ours.schedule)} in Prefect, {by_options} by the options"
    for each in there.schedules:
        if each is not ours:
            state = "" if each.active else ", paused"
            yield f"has a schedule that was added in Prefect: {_words(each.schedule)}{state}"


def _words(schedule: Any) -> str:
    if isinstance(schedule, IntervalSchedule):
        return f"every {timedelta(seconds=schedule.interval.total_seconds())}"
    rule = schedule.cron if isinstance(schedule, CronSchedule) else schedule.rrule
    return f"{rule} {schedule.timezone or 'UTC'}"


def _triggers(
    client: SyncPrefectClient, there: DeploymentResponse, planned: RunnerDeployment
) -> Iterator[str]:
    known = client.read_resource_related_automations(f"prefect.deployment.{there.id}")
    by_name = {each.name: each for each in known}
    for wanted in planned.triggers:
        found = by_name.get(wanted.name or "")
        if found is None:
            yield f"the automation '{wanted.name}' was taken away in Prefect"
        elif not found.enabled:
            yield f"the automation '{wanted.name}' is disabled in Prefect"
        elif getattr(found.trigger, "match", None) != getattr(wanted, "match", None):
            yield f"the automation '{wanted.name}' listens to something else"
