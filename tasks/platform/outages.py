"""Outages: failures of what we talk to, told apart from all others, so that they can be retried.

They come out of many libraries, each with exceptions of its own.
"""

from collections.abc import Iterator
from typing import Any

STORE = ("sqlalchemy", "sqlite3", "psycopg2", "requests", "urllib3")
"""Packages whose exceptions tell of MLflow's store, besides ``MlflowException``."""
STORE_TEXTS = ("OperationalError", "database is locked", "API request to", "Connection refused")
"""In the text of an ``MlflowException`` that is not about what was asked, but about the store."""
SERVER = ("prefect", "httpx", "httpcore", "websockets")
"""Packages whose exceptions tell of the Prefect server."""
GONE = (
    "OperationalError",
    "InterfaceError",
    "ConnectionError",
    "MaxRetryError",
    "ConnectError",
    "ConnectTimeout",
    "ReadTimeout",
    "ReadError",
    "RemoteProtocolError",
    "PrefectHTTPStatusError",
    "HTTPStatusError",
)
"""Names of exceptions that say that somebody does not answer, or cannot."""

WRITE_SECONDS = 900
"""How long a task may take that only reads or writes elsewhere."""


def chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that led to it, the last one first."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def is_of_store(error: BaseException) -> bool:
    """Whether MLflow's store does not answer, or cannot."""
    if type(error).__name__ == "MlflowException":
        return any(text in str(error) for text in STORE_TEXTS)
    return _package(error) in STORE and type(error).__name__ in GONE


def is_of_server(error: BaseException) -> bool:
    """Whether the Prefect server, or another that is asked by HTTP, does not answer, or cannot."""
    return _package(error) in SERVER and type(error).__name__ in GONE


def may_pass(error: BaseException) -> bool:
    """Whether the same may work in a moment: somebody did not answer, or a connection was lost."""
    return any(
        is_of_store(each) or is_of_server(each) or isinstance(each, ConnectionError | TimeoutError)
        for each in chain(error)
    )


def retry_outage(_task: Any, _run: Any, state: Any) -> bool:
    """Condition of Prefect's retries: the failure of a task run is an outage."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and may_pass(error)


RETRIED: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [1, 2, 4],
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": retry_outage,
}
"""Options of a ``@task`` that reads or writes elsewhere, and can be repeated."""


def _package(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]
