"""Deployments: what runs by itself, and on what: a clock, a new data version, drift.

They belong to a process work pool of this workplace, whose worker ``unseen up`` starts. The same
flows in containers and on Kubernetes: ``prefect.yaml`` and docs/guides/machines.md.
"""

import sys
from collections.abc import Callable, Collection
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect import Flow, get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    VersionInfo,
)
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.schedules import Cron, Interval, Schedule
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker

from flows import recipes
from flows.monitor import monitor
from flows.operations import reconcile
from flows.operations.desired_state import Wanted
from flows.recipes import Recipe
from flows.retrain import retrain
from models.errors import InvalidInputError
from tasks.platform import events, workspace
from tasks.platform.identity import identity, pool
from tasks.training.retrain_turn import CHOICES

COLLISION = {
    "wait": ConcurrencyLimitStrategy.ENQUEUE,
    "refuse": ConcurrencyLimitStrategy.CANCEL_NEW,
}
"""What Prefect does with a second run of a deployment, for each of ``turns.CHOICES``."""


def plan(wanted: Wanted) -> list[RunnerDeployment]:
    """The deployments that should be there.

    Raises:
        NotFoundError: If there is no such recipe.
        InvalidInputError: If a schedule or what to do when busy makes no sense, or if two recipes
            have one name.
    """
    chosen = _recipes(wanted)
    found = [
        _deployment(
            retrain,
            _name(reference),
            lambda: Cron(wanted.retrain_cron, timezone=wanted.timezone, slug=reconcile.SLUG),
            scheduled=bool(wanted.retrain_cron),
            parameters={"recipe": reference, "if_busy": wanted.if_busy},
            triggers=_triggers(_name(reference), recipe),
            concurrency_limit=_one_at_a_time(wanted.if_busy),
        )
        for reference, recipe in chosen.items()
    ]
    found += [
        _deployment(
            monitor,
            name,
            lambda: Interval(timedelta(minutes=wanted.monitor_minutes), slug=reconcile.SLUG),
            scheduled=bool(wanted.monitor_minutes),
            parameters={"name": name},
            concurrency_limit=_one_at_a_time("refuse"),
        )
        for name in models(wanted)
    ]
    return found


def models(wanted: Wanted) -> tuple[str, ...]:
    """Names of the registered models that the recipes make, without repetition."""
    return tuple(dict.fromkeys(recipe.name for recipe in _recipes(wanted).values()))


def apply(wanted: Wanted, *, api: str, given: Collection[str] = ()) -> list[str]:
    """Make the Prefect server have the deployments that should be there.

    What is not there is made, with its schedule and its automations; nothing is made twice. Of what
    is there, only what the options given now say is changed: all else may have been changed by a
    person in Prefect, and stays. Those of recipes that are wanted no more are deleted.

    Args:
        wanted: What should run.
        api: URL of the Prefect server.
        given: Names of the fields of ``wanted`` that this call was told to change.

    Returns:
        What is otherwise in Prefect than the options say, and was left alone.

    Raises:
        NotFoundError: If there is no such recipe.
        InvalidInputError: If a setting makes no sense.
    """
    planned = plan(wanted)
    left_alone, kept = [], set()
    code = VersionInfo(type="prefect:simple", version=workspace.code_version())
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        left_alone += _make_pool(client)
        for each in planned:
            there = _find(client, each)
            if there is None:
                kept.add(each.apply(work_pool_name=pool(), version_info=code))
            else:
                kept.add(there.id)
                left_alone += reconcile.update(client, there, each, set(given), code)
        for there in client.read_deployments(deployment_filter=_ours()):
            if there.id in kept:
                continue
            if _was_made_here(there):
                client.delete_resource_owned_automations(f"prefect.deployment.{there.id}")
                client.delete_deployment(there.id)
            else:
                left_alone.append(f"{there.name}: a deployment that was made in Prefect")
    return left_alone


def _find(client: SyncPrefectClient, planned: RunnerDeployment) -> DeploymentResponse | None:
    """The deployment if it is there already; else its name is made one that nobody has.

    Names are the server's: another workplace may have a deployment of the same recipe there.
    """
    plain = planned.name
    for name in (plain, f"{plain}-{identity()}"):
        planned.name = name
        try:
            there = client.read_deployment_by_name(f"{planned.flow_name}/{name}")
        except ObjectNotFound:
            return None
        if pool() in (there.work_pool_name, *there.tags):
            return there
    raise AssertionError("Nobody else has the identity of this workplace.")


def _was_made_here(there: DeploymentResponse) -> bool:
    """Whether its name is that of its recipe or model, as it is unless a person made a copy."""
    about = _name(there.parameters.get("recipe", "")) or there.parameters.get("name")
    return there.name in (about, f"{about}-{identity()}")


def _recipes(wanted: Wanted) -> dict[str, Recipe]:
    names = [_name(reference) for reference in wanted.recipes]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise InvalidInputError(
            f"Every recipe must have a name of its own, got {', '.join(sorted(repeated))} more "
            "than once. Leave one out, or rename its function."
        )
    return {reference: recipes.load(reference) for reference in wanted.recipes}


def _name(reference: str) -> str:
    return Path(reference.rpartition(":")[2]).stem  # of a function, or of a file.toml


def _deployment(
    flow: Flow[..., Any],
    name: str,
    schedule: Callable[[], Schedule],
    *,
    scheduled: bool,
    **options: Any,
) -> RunnerDeployment:
    try:
        return RunnerDeployment.from_flow(
            flow,
            name,
            schedules=[schedule()] if scheduled else [],
            entrypoint_type=EntrypointType.MODULE_PATH,
            tags=[pool()],
            job_variables={
                "command": f"{sys.executable} -m prefect.engine",
                "working_dir": str(workspace.root()),
            },
            **options,
        )
    except ValueError as error:
        raise InvalidInputError(
            f"The schedule of {name} must be one that Prefect understands, got: {error}"
        ) from error


def _triggers(name: str, recipe: Recipe) -> list[DeploymentEventTrigger]:
    return [
        DeploymentEventTrigger(
            name=f"retrain {name} on {what}",
            expect={event},
            match={"prefect.resource.id": resource},
        )
        for what, event, resource in (
            ("new data", events.DATA_VERSIONED, events.dataset(recipe.dataset)),
            ("drift", events.DRIFT_DETECTED, events.model(recipe.name)),
        )
    ]


def _one_at_a_time(if_busy: str) -> ConcurrencyLimitConfig:
    if if_busy not in COLLISION:
        raise InvalidInputError(f"if_busy must be one of {', '.join(CHOICES)}, got {if_busy!r}.")
    return ConcurrencyLimitConfig(limit=1, collision_strategy=COLLISION[if_busy])


def _ours() -> DeploymentFilter:
    return DeploymentFilter(tags=DeploymentFilterTags(all_=[pool()]))


def _make_pool(client: SyncPrefectClient) -> list[str]:
    """Make the work pool unless it is there; what was changed about it."""
    template = ProcessWorker.get_default_base_job_template()
    wanted = WorkPoolCreate(name=pool(), type="process", base_job_template=template)
    try:
        client.create_work_pool(wanted)
    except ObjectAlreadyExists:
        there = client.read_work_pool(pool())
        limit = there.concurrency_limit
        return [
            *([f"work pool {pool()}: paused in Prefect"] if there.is_paused else []),
            *([f"work pool {pool()}: at most {limit} runs at once"] if limit is not None else []),
        ]
    return []
