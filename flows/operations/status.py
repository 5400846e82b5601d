"""Status: services, deployments and champions, as they are now."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from flows.operations import desired_state as wanting
from flows.operations.services import Service, services
from models.errors import RegistryError
from tasks.platform import prefect_server
from tasks.registry import mlflow_store, model_versions

SECONDS = 5.0
"""How long the Prefect server may take to answer."""


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
    """How everything is; nothing is started to find out."""
    wanted = wanting.remembered()
    found = services(wanted)
    prefect = next((each for each in found if each.name == prefect_server.NAME), None)
    return Status(
        wanted=wanted is not None,
        services=found,
        deployments=_deployments(prefect.url) if prefect and prefect.well else [],
        champions=_champions(),
    )


def _deployments(api: str) -> list[Deployment]:
    ours = {"deployments": {"tags": {"all_": [wanting.pool()]}}}
    try:
        found = [_deployment(api, each) for each in _ask(api, "POST", "/deployments/filter", ours)]
    except (httpx.HTTPError, ValueError):
        return []
    return sorted(found, key=lambda each: each.name)


def _deployment(api: str, known: dict[str, Any]) -> Deployment:
    flow = _ask(api, "GET", f"/flows/{known['flow_id']}")["name"]
    coming = {"state": {"name": {"any_": ["Scheduled", "Late"]}}}
    following = _run(api, known["id"], coming, "NEXT_SCHEDULED_START_TIME_ASC")
    last = _run(api, known["id"], {"start_time": {"is_null_": False}}, "START_TIME_DESC")
    return Deployment(
        name=f"{flow}/{known['name']}",
        schedule=", ".join(_schedule(each["schedule"]) for each in known["schedules"]) or "none",
        next_run=_local(following["next_scheduled_start_time"]) if following else "",
        last_run=f"{_local(last['start_time'])} {last['state_name']}" if last else "",
    )


def _run(api: str, deployment: str, condition: dict[str, Any], order: str) -> Any:
    """The first run of a deployment in that order; None if there is none."""
    content = {
        "flow_runs": condition,
        "deployments": {"id": {"any_": [deployment]}},
        "sort": order,
        "limit": 1,
    }
    found = _ask(api, "POST", "/flow_runs/filter", content)
    return found[0] if found else None


def _ask(api: str, method: str, path: str, content: Any = None) -> Any:
    return prefect_server.call(api, method, path, content=content, seconds=SECONDS)


def _schedule(schedule: dict[str, Any]) -> str:
    if "interval" in schedule:
        return f"every {timedelta(seconds=schedule['interval'])}"
    return f"{schedule.get('cron') or schedule.get('rrule')} {schedule.get('timezone') or 'UTC'}"


def _local(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().isoformat(" ", "seconds")[:19]


def _champions() -> dict[str, int | None]:
    try:
        client = mlflow_store.client()
        names = [each.name for each in client.search_registered_models()]
        return {
            name: model_versions.aliases(client, name).get(model_versions.CHAMPION)
            for name in names
        }
    except RegistryError:
        return {}
