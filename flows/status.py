"""Status: services, deployments and champions, as they are now."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flows import wanted as wanting
from flows.services import Service, services
from models.errors import RegistryError
from tasks import orchestrator, registry, tracking

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What runs by itself."""

    name: str
    """Of the flow, and after a slash of the recipe or model."""
    schedule: str
    next_run: str
    """Local time; empty if none is scheduled."""
    last_run: str
    """Local time and state; empty if there was none."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """Everything that ``unseen status`` shows."""

    wanted: bool
    """Whether anything should run."""
    services: list[Service]
    deployments: list[Deployment]
    champions: dict[str, int | None]
    """Version that serves, of each registered model; None if none does."""

    @property
    def well(self) -> bool:
        """Whether all that should run does."""
        return not self.wanted or all(each.well for each in self.services)


def look() -> Status:
    """How everything is."""
    wanted = wanting.remembered()
    found = services(wanted)
    prefect = next((each for each in found if each.name == orchestrator.NAME), None)
    return Status(
        wanted=wanted is not None,
        services=found,
        deployments=_deployments() if prefect and prefect.well else [],
        champions=_champions(),
    )


def _deployments() -> list[Deployment]:
    orchestrator.connect()  # to the server that answers, before Prefect is imported
    from prefect import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[wanting.pool()]))
    with get_client(sync_client=True) as client:
        flows = {}
        found = []
        for each in client.read_deployments(deployment_filter=ours):
            if each.flow_id not in flows:
                flows[each.flow_id] = client.read_flow(each.flow_id).name
            last, following = (_run(client, each.id, coming=coming) for coming in (False, True))
            found.append(
                Deployment(
                    name=f"{flows[each.flow_id]}/{each.name}",
                    schedule=", ".join(_schedule(one.schedule) for one in each.schedules) or "none",
                    next_run=_local(following.next_scheduled_start_time) if following else "",
                    last_run=f"{_local(last.start_time)} {last.state_name}" if last else "",
                )
            )
    return sorted(found, key=lambda each: each.name)


def _run(client: "SyncPrefectClient", deployment: "UUID", *, coming: bool) -> Any:
    """The next run of a deployment, or the last that began; None if there is none."""
    from prefect.client.schemas import filters, sorting

    order = sorting.FlowRunSort
    if coming:
        scheduled = filters.FlowRunFilterStateName(any_=["Scheduled", "Late"])
        condition = {"state": filters.FlowRunFilterState(name=scheduled)}
    else:
        condition = {"start_time": filters.FlowRunFilterStartTime(is_null_=False)}
    found = client.read_flow_runs(
        flow_run_filter=filters.FlowRunFilter(**condition),
        deployment_filter=filters.DeploymentFilter(
            id=filters.DeploymentFilterId(any_=[deployment])
        ),
        sort=order.NEXT_SCHEDULED_START_TIME_ASC if coming else order.START_TIME_DESC,
        limit=1,
    )
    return found[0] if found else None


def _schedule(schedule: Any) -> str:
    if cron := getattr(schedule, "cron", None):
        return f"{cron} {schedule.timezone or 'UTC'}"
    if interval := getattr(schedule, "interval", None):
        return f"every {interval}"
    return str(getattr(schedule, "rrule", schedule))


def _local(moment: datetime | None) -> str:
    return moment.astimezone().isoformat(" ", "seconds")[:19] if moment else ""


def _champions() -> dict[str, int | None]:
    try:
        client = tracking.client()
        names = [each.name for each in client.search_registered_models()]
        return {name: registry.aliases(client, name).get(registry.CHAMPION) for name in names}
    except RegistryError:
        return {}
