"""What to say when something outside of the product fails: a full disk, a store or server gone.

Such failures come out of many libraries, each with exceptions of its own. They are told apart
here, once, where a command ends; in the tasks they pass as they are, and Prefect marks the step as
failed.
"""

import errno
import os
from collections.abc import Iterator

from models.errors import UnseenError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_TEXTS = ("database or disk is full", "No space left on device", "File too large")
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
AGAIN = "then run the same command again: finished steps are kept."


def explain(error: BaseException) -> str | None:
    """What must hold, what came, and what to do; None if the failure may be a defect of ours."""
    chain = tuple(_chain(error))
    if any(_is_full(each) for each in chain):
        return (
            "There must be room on the disk for what is written, and there is none left: "
            f"{_first_line(chain[0])}. Make room ('unseen prune' shows what is old), {AGAIN}"
        )
    for each in chain:
        if _is_of_store(each):
            store = os.environ.get("MLFLOW_TRACKING_URI", "its address")
            return (
                f"MLflow's store at {store} must answer, got: {_first_line(each)}. Start it, or "
                f"end what locks it, {AGAIN}"
            )
        if _package(each) in SERVER and type(each).__name__ in GONE:
            server = os.environ.get("PREFECT_API_URL", "its address")
            return (
                f"The Prefect server at {server} must answer until the run has ended, got: "
                f"{_first_line(each) or type(each).__name__}. Start it ('unseen status' shows the "
                f"local one), {AGAIN}"
            )
    return None


def is_expected(error: BaseException | None) -> bool:
    """Whether a command tells the failure in one sentence, so that no traceback is needed."""
    return error is not None and (isinstance(error, UnseenError) or explain(error) is not None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that led to it, the last one first."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return any(text in str(error) for text in FULL_TEXTS)


def _is_of_store(error: BaseException) -> bool:
    if type(error).__name__ == "MlflowException":
        return any(text in str(error) for text in STORE_TEXTS)
    return _package(error) in STORE and type(error).__name__ in GONE


def _package(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
