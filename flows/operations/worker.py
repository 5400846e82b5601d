"""Worker: what takes flow runs from the workplace's pool, after it has put away what died.

Run as a module. Whoever starts it has ended all processes of an earlier worker, so that flow runs
which look as if they ran are what a crash left: they are marked, which frees their place for
others. Of the scheduled runs that were missed, the last of each deployment is kept.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Crashed

from tasks.platform import prefect_server
from tasks.platform.identity import pool

UNFINISHED = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


def clear(api: str) -> None:
    """Mark the flow runs that died, and delete missed runs but the last of each deployment.

    Args:
        api: URL of the Prefect server.
    """
    died = Crashed(message="The process of this run is gone, and did not say why.")
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        for run in runs(client, UNFINISHED):
            client.set_flow_run_state(run.id, died, force=True)
        _forget_the_missed(client)


def runs(client: SyncPrefectClient, types: Sequence[StateType], **conditions: Any) -> list[FlowRun]:
    """Flow runs of this workplace's deployments in states of these types."""
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[pool()]))
    return list(
        client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=state, **conditions), deployment_filter=ours
        )
    )


def _forget_the_missed(client: SyncPrefectClient) -> None:
    missed: dict[UUID | None, list[FlowRun]] = defaultdict(list)
    before = FlowRunFilterNextScheduledStartTime(before_=datetime.now(UTC))
    for run in runs(client, (StateType.SCHEDULED,), next_scheduled_start_time=before):
        if run.auto_scheduled:
            missed[run.deployment_id].append(run)
    for late in missed.values():
        for run in sorted(late, key=lambda run: str(run.expected_start_time))[:-1]:
            client.delete_flow_run(run.id)


def main() -> None:
    """Put away what died, then become Prefect's own worker."""
    api = prefect_server.connect()
    prefect_server.wait_until_healthy(api)
    clear(api)
    worker = ["prefect", "worker", "start", "--pool", pool(), "--type", "process"]
    more = ["--name", pool(), "--install-policy", "never"]
    os.execv(sys.executable, [sys.executable, "-m", *worker, *more])  # noqa: S606 - no shell


if __name__ == "__main__":
    main()
