"""The Prefect server: the configured one, else a local one that is started once and reused."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from filelock import FileLock

from models.errors import UnseenError
from tasks import project

START_TIMEOUT = 120.0
"""Seconds a cold server may take: it creates its database on the first start."""


class OrchestratorError(UnseenError):
    """There is no Prefect server to record the run."""


@dataclass(frozen=True, kw_only=True)
class LocalServer:
    """A server that this repository started."""

    pid: int
    port: int

    @property
    def api_url(self) -> str:
        """Value for ``PREFECT_API_URL``."""
        return f"http://127.0.0.1:{self.port}/api"


def folder() -> Path:
    """Default Prefect home of this repository."""
    return project.home() / "prefect"


def configured_url() -> str | None:
    """``PREFECT_API_URL`` from the environment or the active profile, without importing Prefect."""
    if url := os.environ.get("PREFECT_API_URL"):
        return url
    home = Path(os.environ.get("PREFECT_HOME", Path.home() / ".prefect")).expanduser()
    try:
        profiles = tomllib.loads((home / "profiles.toml").read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return None
    active = os.environ.get("PREFECT_PROFILE", profiles.get("active", ""))
    url = profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL")
    return str(url) if url else None


def connect() -> str:
    """Point this process to a Prefect server, before Prefect is imported.

    A local server may still be starting: ``wait_until_healthy`` before the first flow.

    Returns:
        The API URL, which ``PREFECT_API_URL`` now holds.
    """
    if url := configured_url():
        return url
    os.environ.setdefault("PREFECT_HOME", str(folder()))
    with FileLock(project.home() / "prefect.lock"):
        server = local_server() or _start()
    os.environ["PREFECT_API_URL"] = server.api_url
    return server.api_url


def local_server() -> LocalServer | None:
    """The local server of this repository if its process lives, healthy or still starting."""
    try:
        state = json.loads((folder() / "server.json").read_text())
        server = LocalServer(pid=state["pid"], port=state["port"])
        command = " ".join(psutil.Process(server.pid).cmdline())
    except (OSError, ValueError, KeyError, psutil.Error):
        return None
    return server if "prefect" in command and str(server.port) in command else None


def _start() -> LocalServer:
    folder().mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "PREFECT_HOME": str(folder()),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    with (folder() / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it outlives this command and is reused by the next
        )
    server = LocalServer(pid=process.pid, port=port)
    temporary = folder() / "server.json.part"
    temporary.write_text(json.dumps({"pid": server.pid, "port": server.port}))
    temporary.replace(folder() / "server.json")
    return server


def wait_until_healthy(api_url: str) -> None:
    """Return when the server answers; a local one that starts is given ``START_TIMEOUT``.

    Raises:
        OrchestratorError: If it does not answer, or has died.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while not is_healthy(api_url):
        server = local_server()
        ours = server is not None and server.api_url == api_url
        if not ours or time.monotonic() > deadline:
            raise OrchestratorError(
                f"A Prefect server must answer at {api_url}, and does not. Start it and check "
                "PREFECT_API_URL, or unset it to use a local server, whose log is "
                f"{folder() / 'server.log'}."
            )
        time.sleep(0.2)


def is_healthy(api_url: str) -> bool:
    """Whether a Prefect server answers at this URL."""
    try:
        return httpx.get(f"{api_url}/health", timeout=2.0).is_success
    except httpx.HTTPError:
        return False


def stop() -> bool:
    """Stop the local server and everything it started; whether there was one."""
    server = local_server()
    if server is None:
        return False
    parent = psutil.Process(server.pid)
    family = [parent, *parent.children(recursive=True)]
    parent.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=10)
    for process in alive:
        process.kill()
    (folder() / "server.json").unlink(missing_ok=True)
    return True
