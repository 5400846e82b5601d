"""Old flow runs that the local Prefect server keeps, and flow runs that are under way."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from models.errors import RegistryError
from tasks.housekeeping.references import References
from tasks.housekeeping.stale import Kind, Stale
from tasks.platform import prefect_server

SECONDS = 30.0
"""How long the server may take to answer."""
PAGE = 200
"""Flow runs that the server tells at once."""
FORGOTTEN = timedelta(days=1)
"""What began longer ago and still counts as running was killed."""
NEWEST_FIRST = "EXPECTED_START_TIME_DESC"
ACTIVE = ("RUNNING", "PENDING", "CANCELLING")


def find(references: References, cutoff: float) -> Kind:
    """Sort the flow runs of the local server into stale ones and those that stay.

    A server that was configured is left alone: others may use it, and it has its own retention.
    """
    kind = Kind(title="Prefect flow runs", why="no registered version names them")
    if prefect_server.configured_url():
        kind.notes.append("Flow runs: PREFECT_API_URL is set, so that server is left alone.")
        return kind
    server = prefect_server.local_server()
    if server is None:
        kind.notes.append(
            "Flow runs: the local Prefect server does not run, so they were not read."
        )
        return kind
    for run in _search(server.url, {}):
        who = set(references.ids.get(run["id"], set()))
        ended = run["end_time"] or run["start_time"] or run["created"]
        if datetime.fromisoformat(ended).timestamp() >= cutoff:
            who |= {"younger"}
        kind.kept.update(who)
        if not who:
            remove = _remover(server.url, f"/flow_runs/{run['id']}")
            kind.stale.append(Stale(name=run["id"], num_bytes=0, remove=remove))
    return kind


def active() -> str | None:
    """Name of the newest flow run under way, as far as the server knows; None if there is none."""
    server = prefect_server.local_server()
    url = prefect_server.configured_url() or (server.url if server else None)
    if url is None:
        return None
    since = (datetime.now(UTC) - FORGOTTEN).isoformat()
    wanted = {"state": {"type": {"any_": ACTIVE}}, "expected_start_time": {"after_": since}}
    try:
        return next((str(run["name"]) for run in _search(url, wanted)), None)
    except httpx.HTTPError:
        return None  # what does not answer has no flow under way; MLflow is asked too


def _search(url: str, wanted: dict[str, Any]) -> Iterator[dict[str, Any]]:
    offset = 0
    while True:
        content = {"flow_runs": wanted, "limit": PAGE, "offset": offset, "sort": NEWEST_FIRST}
        found = prefect_server.call(
            url, "POST", "/flow_runs/filter", content=content, seconds=SECONDS
        )
        yield from found
        offset += len(found)
        if len(found) < PAGE:
            return


def _remover(url: str, path: str) -> Callable[[], None]:
    def remove() -> None:
        try:
            prefect_server.call(url, "DELETE", path, seconds=SECONDS)
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return
            raise RegistryError(
                f"The Prefect server must delete {url}{path}, and answered "
                f"{error.response.status_code}. Look at {prefect_server.folder() / 'server.log'}."
            ) from error

    return remove
