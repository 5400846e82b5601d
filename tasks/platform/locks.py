"""Locks of this machine that also hold between machines, where these share a PostgreSQL database.

On one machine a lock of the operating system is enough, and it ends with its process. Machines that
share a registry need a lock in a place that all of them reach: an advisory lock of PostgreSQL,
which ends with its connection, however that ends. It is taken in the database that
``UNSEEN_LOCK_DATABASE`` names, else in MLflow's own if ``MLFLOW_TRACKING_URI`` is PostgreSQL.
Behind a tracking server nobody but ``UNSEEN_LOCK_DATABASE`` can say where; without it a warning
says that only this machine is protected.
"""

import hashlib
import logging
import os
import socket
import time
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from filelock import FileLock, Timeout

from models.errors import InvalidInputError, RegistryError
from tasks.platform import settings, workspace

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812

log = logging.getLogger(__name__)

VARIABLE = "UNSEEN_LOCK_DATABASE"
"""Environment variable: URL of a PostgreSQL database that all machines of a registry share."""
POLL_SECONDS = 0.05
CONNECT_SECONDS = 10
HOLDER = """
SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s AND objsubid = 1
"""
LOCAL = ("127.0.0.1", "localhost", "::1")


class Lock:
    """Held by one at a time, of all processes here and on other machines.

    Args:
        name: What it protects; a part of a file's name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._file = FileLock(workspace.home() / f"{name}.lock")
        self._connection: Connection | None = None

    def acquire(self, *, wait: bool = True, poll: float = POLL_SECONDS) -> None:
        """Have it.

        Args:
            wait: Until whoever has it is done.
            poll: Seconds between two attempts.

        Raises:
            Timeout: If somebody has it and one should not wait.
            RegistryError: If the database of locks does not answer.
        """
        self._file.acquire(timeout=-1 if wait else 0, poll_interval=poll)
        try:
            self._acquire_everywhere(wait=wait, poll=poll)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let others have it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._file.release()

    def check(self) -> None:
        """Make sure, before something is done that cannot be undone, that one still has it.

        Raises:
            RegistryError: If the connection to the database of locks was lost meanwhile.
        """
        if self._connection is not None:
            _ask(self._connection, "SELECT 1")

    def holder(self) -> str | None:
        """Who has it, as far as the database of locks knows; None if nobody has."""
        url = database()
        if url is None:
            return None
        connection = _connect(url)
        try:
            key = _key(self.name)
            found = _ask(connection, HOLDER, (key >> 32 & 0xFFFFFFFF, key & 0xFFFFFFFF))
            return str(found[0]) if found else None
        finally:
            connection.close()

    def _acquire_everywhere(self, *, wait: bool, poll: float) -> None:
        url = database()
        if url is None:
            return
        self._connection = _connect(url)
        while not _ask(self._connection, "SELECT pg_try_advisory_lock(%s)", (_key(self.name),))[0]:
            if not wait:
                raise Timeout(self.name)
            time.sleep(poll)

    def __enter__(self) -> "Lock":
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def database() -> str | None:
    """URL of the database of locks; None if locks hold on this machine only.

    Raises:
        InvalidInputError: If the variable names something else than PostgreSQL.
    """
    known = settings.read()
    store = known.mlflow_tracking_uri
    if url := known.unseen_lock_database:
        if not url.startswith("postgres"):
            raise InvalidInputError(
                f"{VARIABLE} must be the URL of a PostgreSQL database, got one of "
                f"{url.partition(':')[0]}. Correct or unset it."
            )
        return url
    if store.startswith("postgres"):
        return store
    host = urlparse(store).hostname
    if host not in {None, *LOCAL}:
        _warn_once(str(host))
    return None


@cache
def _warn_once(host: str) -> None:
    log.warning(
        "The registry on %s is protected against other processes of this machine only. Set %s to "
        "a PostgreSQL database that all machines reach, so that they decide one after the other.",
        host,
        VARIABLE,
    )


def _key(name: str) -> int:
    """The lock's number in PostgreSQL: 64 bits with a sign."""
    digest = hashlib.sha256(f"unseen/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _connect(url: str) -> "Connection":
    try:
        import psycopg2
    except ImportError as error:
        raise InvalidInputError(
            "PostgreSQL needs the packages of the extra 'scale'. Install unseen[scale]."
        ) from error
    from sqlalchemy import make_url

    parsed = make_url(url)
    try:
        made = psycopg2.connect(
            **parsed.translate_connect_args(username="user", database="dbname"),
            **dict(parsed.query),
            connect_timeout=CONNECT_SECONDS,
            application_name=f"unseen {socket.gethostname()} {os.getpid()}"[:63],
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
        )
    except psycopg2.Error as error:
        raise RegistryError(
            f"The database of locks must answer at {parsed.render_as_string()}, got: "
            f"{str(error).strip()}. Start it, or correct {VARIABLE} or MLFLOW_TRACKING_URI."
        ) from error
    made.autocommit = True  # a lock held in a transaction for hours would stop PostgreSQL's vacuum
    return made


def _ask(connection: "Connection", query: str, arguments: tuple[int, ...] = ()) -> Any:
    """First row of the answer; None if there is none."""
    import psycopg2

    try:
        with connection.cursor() as cursor:
            cursor.execute(query, arguments)
            return cursor.fetchone()
    except psycopg2.Error as error:
        raise RegistryError(
            f"The database of locks must stay connected while a lock is held, got: "
            f"{str(error).strip()}. Nothing was changed; say it again."
        ) from error
