"""Services: what runs in the background, from one ``up`` to one ``down``, and how it is.

A Prefect server, an MLflow server, a worker for the deployments, one serving process for each
model, and the console, each kept alive by a supervisor. Servers that the environment configures are
used as they are: not started and not stopped.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from flows.operations import desired_state as wanting
from flows.operations import ports
from flows.operations.desired_state import Wanted
from models.errors import UnseenError
from tasks.console import serving
from tasks.platform import background, prefect_server
from tasks.platform.background import Background
from tasks.platform.certificates import trusted
from tasks.platform.identity import pool
from tasks.registry import mlflow_server
from tasks.serving import pages

WORKER = "worker"
SERVE = serving.PROCESS
"""What the name of a serving process begins with; the model's follows."""
START_SECONDS = 180.0
"""How long all of it may take to be healthy: everything imports torch on a cold disk."""
ENDING = (pages.PROCESS, SERVE, WORKER, mlflow_server.NAME, prefect_server.NAME)
"""Order in which services end: nobody should lose a server while it works."""


class ServiceError(UnseenError):
    """A service does not run as it should."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One line of ``unseen status``."""

    name: str
    pid: int | None
    """None if it does not run, or not as a process of ours."""
    url: str
    health: str
    """``ok``, or what is the matter."""
    well: bool
    since: str = ""
    restarts: int = 0
    """How often it died and was started again."""


@dataclass(frozen=True)
class Started:
    """What ``up`` did."""

    services: list[Service]
    left_alone: list[str] = field(default_factory=list)
    """What is otherwise in Prefect than the options say, because a person changed it there."""


def up(given: Mapping[str, Any]) -> Started:
    """Start what does not run yet, and wait until all of it is well.

    Args:
        given: Fields of ``Wanted`` to change; None leaves one as it is.

    Raises:
        InvalidInputError: If a setting makes no sense, or a port is taken.
        NotFoundError: If there is no such recipe.
        ServiceError: If a service does not come up.
    """
    options = {key for key, value in given.items() if value is not None}
    wanting.changed(dict(given))  # refuses what makes no sense, before anything is touched
    with background.lock("up"):
        wanted = wanting.changed(dict(given))
        if "recipes" in options:
            wanted = replace(wanted, models=())
        for name in {*background.living(), *background.names()}:
            if background.find(name) is None:
                background.stop(name)  # what is left of one that was killed, or was given up
        ports.free(wanted, options)
        before = background.living()
        try:
            wanted, left_alone = _prepare(wanted, options)
            if options & {"recipes", "serve_port"}:
                ports.free(wanted, options)
        except UnseenError:
            for name in sorted(background.living() - before, key=_rank):
                background.stop(name)  # what cannot work should not be left half started
            raise
        wanting.remember(wanted)
        _start_worker(prefect_server.connect())
        _start_serving(wanted)
        _start_console(wanted)
        return Started(_wait_until_well(wanted), left_alone)


def _prepare(wanted: Wanted, given: Collection[str]) -> tuple[Wanted, list[str]]:
    """Start the servers, and make their deployments those that are wanted."""
    port = 0
    if not prefect_server.running():
        port = ports.of(prefect_server.NAME, wanted.prefect_port)
    api = prefect_server.connect(port)
    mlflow_server.start(wanted.mlflow_port)
    from flows.operations import deployments  # meanwhile the servers start

    wanted = replace(wanted, models=deployments.models(wanted))
    prefect_server.wait_until_healthy(api)
    worker = background.find(WORKER)
    if worker is not None and worker.url != api:
        background.stop(WORKER)  # it asks a server that is gone
    return wanted, deployments.apply(wanted, api=api, given=given)


def down() -> list[str]:
    """Stop everything that was started here, in order; the names of what ran.

    Nothing is left over, even of a process that was killed.
    """
    with background.lock("up"):
        wanting.forget()
        names = sorted({*background.names(), *background.living()}, key=_rank)
        return [name for name in names if background.stop(name)]


def services(wanted: Wanted | None) -> list[Service]:
    """How everything is that should run, and what runs although it need not."""
    expected = _expected(wanted) if wanted else []
    others = sorted(background.living() - set(expected), key=_rank, reverse=True)
    return [_look_at(name) for name in (*expected, *others)]


def _expected(wanted: Wanted) -> list[str]:
    served = [SERVE + name for name in wanted.models] if wanted.serve else []
    console = [pages.PROCESS] if wanted.console else []
    return [prefect_server.NAME, mlflow_server.NAME, WORKER, *served, *console]


def _rank(name: str) -> tuple[int, str]:
    kinds = [index for index, kind in enumerate(ENDING) if name.startswith(kind)]
    return (kinds[0] if kinds else -1, name)


def _look_at(name: str) -> Service:
    elsewhere = {
        prefect_server.NAME: prefect_server.configured_url,
        mlflow_server.NAME: mlflow_server.configured_url,
    }
    process = background.find(name)
    url = process.url if process else elsewhere.get(name, str)() or ""
    if process is None and not url:
        health = "gave up: it died too often" if background.has_given_up(name) else "not running"
        return Service(name=name, pid=None, url="", health=health, well=False)
    health, well = _health(name, url, process.since if process else "")
    return Service(
        name=name,
        pid=process.pid if process else None,
        url=url,
        health=health,
        well=well,
        since=process.since if process else "configured",
        restarts=background.restarts(name) if process else 0,
    )


def _health(name: str, url: str, since: str) -> tuple[str, bool]:
    if name == WORKER:
        return _health_of_worker(since)
    if name == prefect_server.NAME:
        well = prefect_server.is_healthy(url)
    elif name == mlflow_server.NAME:
        well = mlflow_server.is_healthy(url)
    elif name == pages.PROCESS:
        well = serving.answers(url)
    else:
        return _health_of_serving(url)
    return ("ok" if well else "does not answer", well)


def _health_of_worker(since: str) -> tuple[str, bool]:
    """Whether the Prefect server has heard of the worker after it was started, and lately."""
    path = f"/work_pools/{pool()}/workers/filter"
    try:
        api = prefect_server.running() or ""
        known = prefect_server.call(api, "POST", path, content={}, seconds=2.0)
    except (httpx.HTTPError, ValueError):
        return "unknown: the Prefect server does not answer", False
    online = [each for each in known if each["status"] == "ONLINE"]
    heard = [each for each in online if each["last_heartbeat_time"][:19] >= since[:19]]
    return ("ok", True) if heard else ("has not reported to the Prefect server", False)


def _health_of_serving(url: str) -> tuple[str, bool]:
    try:
        answer = httpx.get(f"{url}/health", timeout=2.0, verify=trusted()).json()
    except (httpx.HTTPError, ValueError):
        return "does not answer", False
    if "version" in answer:
        problem = f": {answer['problem']}" if answer["problem"] else ""
        return f"{answer['status']}, version {answer['version']}{problem}", not problem
    return "answers 503: no champion is loaded yet", True


def _start_worker(api: str) -> Background:
    return background.start(WORKER, ["-m", "flows.operations.worker"], url=api)  # where it asks


def _start_serving(wanted: Wanted) -> None:
    names = [SERVE + name for name in wanted.models] if wanted.serve else []
    for name in background.living():
        if name.startswith(SERVE) and name not in names:
            background.stop(name)
    for index, name in enumerate(names):
        if background.find(name):
            continue
        port = str(ports.of(SERVE, wanted.serve_port, index))
        model = name.removeprefix(SERVE)
        command = ["-m", "flows.cli", "serve", model, "--port", port, "--wait"]
        background.start(name, command, url=f"http://127.0.0.1:{port}")


def _start_console(wanted: Wanted) -> None:
    if not wanted.console:
        background.stop(pages.PROCESS)
    elif not background.find(pages.PROCESS):
        port = str(ports.of(pages.PROCESS, wanted.console_port))
        command = ["-m", "flows.cli", "console", "--port", port]
        background.start(pages.PROCESS, command, url=f"http://127.0.0.1:{port}")


def _wait_until_well(wanted: Wanted) -> list[Service]:
    deadline = time.monotonic() + START_SECONDS
    while True:
        found = services(wanted)
        ill = [each for each in found if not each.well]
        if not ill:
            return found
        dead = [each for each in ill if each.pid is None and not each.url]
        if dead or time.monotonic() > deadline:
            each = (dead or ill)[0]
            raise ServiceError(
                f"{each.name} must run and answer, and {each.health}. Its log is "
                f"{background.log_file(each.name)}. Mend it and say 'unseen up' again, or 'unseen "
                "down' to stop the others."
            )
        time.sleep(0.3)
