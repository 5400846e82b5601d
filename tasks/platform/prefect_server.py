"""The Prefect server: the configured one, else a local one that is started once and reused."""

import os
import time
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from filelock import FileLock

from models.errors import UnseenError
from tasks.platform import addresses, background, flow_run, settings, workspace
from tasks.platform.background import Background
from tasks.platform.certificates import trusted

NAME = "prefect"
"""Of the local server among the background processes."""
START_TIMEOUT = 120.0
"""Seconds a cold server may take: it creates its database on the first start."""
BUSY = (408, 429, 503)
"""HTTP status codes of a server that may well answer the next time."""
PAUSE = 0.2
"""Seconds until a busy server is asked again."""


class OrchestratorError(UnseenError):
    """There is no Prefect server to record the run."""


def folder() -> Path:
    """Default Prefect home of this repository."""
    return workspace.home() / "prefect"


def configured_url() -> str | None:
    """``PREFECT_API_URL`` from the environment or the active profile, without importing Prefect.

    None if nothing is set, or if it is the address of our own local server.
    """
    known = settings.read()
    if url := known.prefect_api_url:
        return None if addresses.is_own(url, NAME) else url
    home = Path(known.prefect_home or Path.home() / ".prefect").expanduser()
    try:
        profiles = tomllib.loads((home / "profiles.toml").read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return None
    active = known.prefect_profile or profiles.get("active", "")
    url = profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL")
    return str(url) if url else None


def connect(port: int = 0) -> str:
    """Point this process to a Prefect server, before Prefect is imported.

    A local server may still be starting: ``wait_until_healthy`` before the first flow.

    Args:
        port: Of a local server, if one must be started; 0 takes any that is free.

    Returns:
        The API URL, which ``PREFECT_API_URL`` now holds.
    """
    addresses.bypass_proxy()
    flow_run.set_up_logs()
    if url := configured_url():
        return url
    os.environ.setdefault("PREFECT_HOME", str(folder()))
    if server := local_server():
        os.environ["PREFECT_API_URL"] = server.url
        return server.url
    exported = urlsplit(settings.read().prefect_api_url).port  # of ours, which has died
    with FileLock(workspace.home() / "prefect.lock"):
        server = local_server() or _start(port or background.port(None, exported or 0))
    os.environ["PREFECT_API_URL"] = server.url
    return server.url


def running() -> str | None:
    """API URL of the configured server or of the local one if its process lives; None if neither.

    Nothing is started, and nobody is asked whether it answers.
    """
    if url := configured_url():
        return url
    server = local_server()
    return server.url if server else None


def local_server() -> Background | None:
    """The local server of this repository if its process lives, healthy or still starting."""
    return background.find(NAME)


def _start(port: int) -> Background:
    folder().mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}/api"
    command = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    leases = "prefect.server.concurrency.lease_storage.filesystem"
    environment = {
        "PREFECT_HOME": str(folder()),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": leases,  # a restart must not forget who waits
    }
    return background.start(NAME, command, url=url, environment=environment)


def wait_until_healthy(api_url: str) -> None:
    """Return when the server answers; a local one that starts is given ``START_TIMEOUT``.

    Raises:
        OrchestratorError: If it does not answer, or has died.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while not is_healthy(api_url):
        server = local_server()
        ours = server is not None and server.url == api_url
        if not ours or time.monotonic() > deadline:
            raise OrchestratorError(
                f"A Prefect server must answer at {api_url}, and does not. Start it and check "
                "PREFECT_API_URL, or unset it to use a local server, whose log is "
                f"{background.log_file(NAME)}.{addresses.through(api_url)}"
            )
        time.sleep(0.2)


def is_healthy(api_url: str) -> bool:
    """Whether a Prefect server answers at this URL."""
    try:
        return httpx.get(f"{api_url}/health", timeout=2.0, verify=trusted()).is_success
    except httpx.HTTPError:
        return False


def call(api_url: str, method: str, path: str, *, content: Any = None, seconds: float) -> Any:
    """One request to a Prefect server without importing Prefect, and its answer as JSON data.

    A server whose database is locked for a moment says 503; like Prefect's own client, the request
    is then made again, as long as there is time.

    Args:
        api_url: As ``running`` gives it.
        method: Of HTTP.
        path: Below the API URL.
        content: JSON data to send.
        seconds: How long the server may take to answer, and how long a busy one is asked again.

    Raises:
        httpx.HTTPError: If it does not answer, or refuses.
        ValueError: If its answer is not JSON.
    """
    deadline = time.monotonic() + seconds
    answer = _request(api_url, method, path, content=content, seconds=seconds)
    while answer.status_code in BUSY and time.monotonic() + PAUSE < deadline:
        time.sleep(PAUSE)
        answer = _request(api_url, method, path, content=content, seconds=seconds)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def _request(
    api_url: str, method: str, path: str, *, content: Any, seconds: float
) -> httpx.Response:
    known = settings.read()
    user, _, password = known.prefect_api_auth_string.partition(":")
    key = known.prefect_api_key
    return httpx.request(
        method,
        f"{api_url}{path}",
        json=content,
        auth=(user, password) if user else None,
        headers={"Authorization": f"Bearer {key}"} if key else None,
        timeout=seconds,
        verify=trusted(),
    )


def stop() -> bool:
    """Stop the local server and everything it started; whether there was one."""
    return background.stop(NAME)
