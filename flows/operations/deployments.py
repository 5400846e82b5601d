"""Deployments: what runs by itself, and on what: a clock, a new data version, drift.

They belong to a process work pool of this repository, whose worker ``unseen up`` starts. The same
flows in containers and on Kubernetes: ``prefect.yaml`` and docs/operations.md.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect import Flow, get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    FlowRun,
    StateType,
    VersionInfo,
)
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Crashed
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker

from flows import recipes
from flows.monitor import monitor
from flows.operations.desired_state import Wanted, pool
from flows.recipes import Recipe
from flows.retrain import retrain
from models.errors import InvalidInputError
from tasks.platform import events, workspace
from tasks.training.retrain_turn import CHOICES

COLLISION = {
    "wait": ConcurrencyLimitStrategy.ENQUEUE,
    "refuse": ConcurrencyLimitStrategy.CANCEL_NEW,
}
"""What Prefect does with a second run of a deployment, for each of ``turns.CHOICES``."""
UNFINISHED = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


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
            parameters={"recipe": reference, "if_busy": wanted.if_busy},
            cron=wanted.retrain_cron or None,
            triggers=_triggers(_name(reference), recipe),
            concurrency_limit=_one_at_a_time(wanted.if_busy),
        )
        for reference, recipe in chosen.items()
    ]
    found += [
        _deployment(
            monitor,
            name,
            parameters={"name": name},
            interval=timedelta(minutes=wanted.monitor_minutes),
            concurrency_limit=_one_at_a_time("refuse"),
        )
        for name in models(wanted)
    ]
    return found


def models(wanted: Wanted) -> tuple[str, ...]:
    """Names of the registered models that the recipes make, without repetition."""
    return tuple(dict.fromkeys(recipe.name for recipe in _recipes(wanted).values()))


def apply(wanted: Wanted, *, api: str, worker_runs: bool) -> None:
    """Make the Prefect server's deployments and automations those that should be there.

    Those that are there already are updated, those of this repository that should not be are
    deleted; nothing is made twice.

    Args:
        wanted: What should run.
        api: URL of the Prefect server.
        worker_runs: Whether flow runs may be under way. If not, those that look so are what a
            crash left: they are marked, which frees their place for others; and of the scheduled
            runs that were missed, the last of each deployment is kept.

    Raises:
        NotFoundError: If there is no such recipe.
        InvalidInputError: If a setting makes no sense.
    """
    planned = plan(wanted)
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        _make_pool(client)
        if not worker_runs:
            _bury_the_dead(client)
            _forget_the_missed(client)
        code = VersionInfo(type="prefect:simple", version=workspace.code_version())
        kept = {each.apply(work_pool_name=pool(), version_info=code) for each in planned}
        for deployment in client.read_deployments(deployment_filter=_ours()):
            if deployment.id not in kept:
                client.delete_resource_owned_automations(f"prefect.deployment.{deployment.id}")
                client.delete_deployment(deployment.id)


def _recipes(wanted: Wanted) -> dict[str, Recipe]:
    names = [_name(reference) for reference in wanted.recipes]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise InvalidInputError(
            f"Every recipe must have a name of its own, got {', '.join(sorted(repeated))} more "
            "than once. Leave one out, or rename its function."
        )
    return {reference: recipes.load(reference) for reference in wanted.recipes}


def _name(reference: str) -> str:
    return reference.rpartition(":")[2]


def _deployment(flow: Flow[..., Any], name: str, **options: Any) -> RunnerDeployment:
    try:
        return RunnerDeployment.from_flow(
            flow,
            name,
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


def _make_pool(client: SyncPrefectClient) -> None:
    template = ProcessWorker.get_default_base_job_template()
    wanted = WorkPoolCreate(name=pool(), type="process", base_job_template=template)
    try:
        client.create_work_pool(wanted)
    except ObjectAlreadyExists:
        return


def _bury_the_dead(client: SyncPrefectClient) -> None:
    died = Crashed(message="The process of this run is gone, and did not say why.")
    for run in _runs(client, UNFINISHED):
        client.set_flow_run_state(run.id, died, force=True)


def _forget_the_missed(client: SyncPrefectClient) -> None:
    missed: dict[UUID | None, list[FlowRun]] = defaultdict(list)
    before = FlowRunFilterNextScheduledStartTime(before_=datetime.now(UTC))
    for run in _runs(client, (StateType.SCHEDULED,), next_scheduled_start_time=before):
        if run.auto_scheduled:
            missed[run.deployment_id].append(run)
    for runs in missed.values():
        for run in sorted(runs, key=lambda run: str(run.expected_start_time))[:-1]:
            client.delete_flow_run(run.id)


def _runs(
    client: SyncPrefectClient, types: Sequence[StateType], **conditions: Any
) -> list[FlowRun]:
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))
    return list(
        client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=state, **conditions), deployment_filter=_ours()
        )
    )
