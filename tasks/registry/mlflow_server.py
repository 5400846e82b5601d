"""The MLflow server on the local store: for browsers, and for tools that speak HTTP.

It stands beside the store and not in front of it. Commands, flow runs and the serving process go on
reading and writing the same database and the same artifacts themselves: they work with or without
the server, and remember results under one address. The store is a file of SQLite with ``file:``
addresses of artifacts, which resolve alike on both ways on this machine; or, for several machines,
PostgreSQL and the place that ``MLFLOW_DEFAULT_ARTIFACT_ROOT`` names. If ``MLFLOW_TRACKING_URI`` is
itself a server, no local one is started.
"""

import httpx

from tasks.platform import addresses, background, settings
from tasks.platform.background import Background
from tasks.platform.certificates import trusted
from tasks.registry import mlflow_store

NAME = "mlflow"
"""Among the background processes."""
USUAL_PORT = 5000


def configured_url() -> str | None:
    """Address of a server that ``MLFLOW_TRACKING_URI`` names; None if it names our own store."""
    uri = settings.read().mlflow_tracking_uri
    return uri if addresses.is_server(uri) and not addresses.is_own(uri, NAME) else None


def address() -> str:
    """Where its pages are, for links: the configured server or the local one; empty if neither."""
    local = background.find(NAME)
    return (configured_url() or (local.url if local else "")).rstrip("/")


def start(port: int | None = None) -> Background | None:
    """The server of the local store, started unless it runs; None if another is configured.

    Args:
        port: To answer at; the usual one if it is free, else any, if None.

    Raises:
        InvalidInputError: If the port is taken.
        RegistryError: If the store cannot be opened.
    """
    if configured_url():
        return None
    if found := background.find(NAME):
        return found
    store = mlflow_store.client().tracking_uri  # now its tables exist, made by one process alone
    number = background.port(port, USUAL_PORT)
    command = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(number)]
    environment = {
        "MLFLOW_BACKEND_STORE_URI": store,  # not an option: its password would stand in `ps`
        mlflow_store.ARTIFACTS: mlflow_store.artifact_root(store) or "",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # it saves 1.4 GB of memory
    }
    return background.start(
        NAME,
        [*command, "--workers", "1", "--no-serve-artifacts"],
        url=f"http://127.0.0.1:{number}",
        environment=environment,
    )


def is_healthy(url: str) -> bool:
    """Whether an MLflow server answers at this URL."""
    try:
        return httpx.get(f"{url}/health", timeout=2.0, verify=trusted()).is_success
    except httpx.HTTPError:
        return False
