"""Status: services, deployments and champions, as they are now."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from flows.operations import desired_state as wanting
from flows.operations.desired_state import Wanted
from flows.operations.services import Service, services
from models.errors import RegistryError
from tasks.platform import prefect_server
from tasks.platform.identity import identity, pool
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
    """Local time, state and what came of it; empty if there was none."""
    problem: str = ""
    """Why it does not run although it should; empty if nothing is the matter."""


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
        missing = any(each.problem for each in self.deployments)
        return not self.wanted or (all(each.well for each in self.services) and not missing)


def look() -> Status:
    """How everything is; nothing is started to find out."""
    wanted = wanting.remembered()
    found = services(wanted)
    prefect = next((each for each in found if each.name == prefect_server.NAME), None)
    return Status(
        wanted=wanted is not None,
        services=found,
        deployments=_deployments(prefect.url, wanted) if prefect and prefect.well else [],
        champions=_champions(),
    )


def _deployments(api: str, wanted: Wanted | None) -> list[Deployment]:
    ours = {"deployments": {"tags": {"all_": [pool()]}}}
    try:
        known = _ask(api, "POST", "/deployments/filter", ours)
        pause = _pause(api) if known else ""
        found = [_deployment(api, each, wanted, pause) for each in known]
    except (httpx.HTTPError, ValueError):
        return []
    names = {each.name.removesuffix(f"-{identity()}") for each in found}
    missing = [
        Deployment(
            name=name,
            schedule="",
            next_run="",
            last_run="",
            problem="missing in Prefect: 'unseen up' makes it again",
        )
        for name in _expected(wanted)
        if name not in names
    ]
    return sorted((*found, *missing), key=lambda each: each.name)


def _expected(wanted: Wanted | None) -> Iterator[str]:
    if wanted:
        yield from (f"retrain/{Path(each.rpartition(':')[2]).stem}" for each in wanted.recipes)
        yield from (f"monitor/{each}" for each in wanted.models)


def _pause(api: str) -> str:
    """Why nothing of the work pool runs; empty if it does."""
    if _ask(api, "GET", f"/work_pools/{pool()}")["is_paused"]:
        return "its work pool is paused in Prefect"
    return ""


def _deployment(api: str, known: dict[str, Any], wanted: Wanted | None, pause: str) -> Deployment:
    flow = _ask(api, "GET", f"/flows/{known['flow_id']}")["name"]
    coming = {"state": {"name": {"any_": ["Scheduled", "Late"]}}}
    following = _run(api, known["id"], coming, "NEXT_SCHEDULED_START_TIME_ASC")
    last = _run(api, known["id"], {"start_time": {"is_null_": False}}, "START_TIME_DESC")
    return Deployment(
        name=f"{flow}/{known['name']}",
        schedule=", ".join(map(_schedule, known["schedules"])) or "none",
        next_run=_local(following["next_scheduled_start_time"]) if following else "",
        last_run=f"{_local(last['start_time'])} {_outcome(last)}" if last else "",
        problem=_problem(flow, known, wanted, pause) if wanted else "",
    )


def _problem(flow: str, known: dict[str, Any], wanted: Wanted, pause: str) -> str:
    if known["paused"]:
        return "paused in Prefect"
    by_the_clock = wanted.retrain_cron if flow == "retrain" else wanted.monitor_minutes
    active = [each["active"] for each in known["schedules"]]
    if by_the_clock and not any(active):
        return "its schedule is paused in Prefect" if active else "it has no schedule in Prefect"
    return pause


def _outcome(run: dict[str, Any]) -> str:
    """State of a run, and the first words of what came of it."""
    told = (run["state"] or {}).get("message") or ""
    return f"{run['state_name']}. {told.partition(':')[0][:40]}".rstrip(". ")


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
    rule, paused = schedule["schedule"], "" if schedule["active"] else " (paused)"
    if "interval" in rule:
        return f"every {timedelta(seconds=rule['interval'])}{paused}"
    return f"{rule.get('cron') or rule.get('rrule')} {rule.get('timezone') or 'UTC'}{paused}"


def _local(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().isoformat(" ", "seconds")[:19]


def _champions() -> dict[str, int | None]:
    try:
        client = mlflow_store.client()
        names = [each.name for each in client.search_registered_models()]
        return {name: model_versions.champion(client, name) for name in names}
    except RegistryError:
        return {}
