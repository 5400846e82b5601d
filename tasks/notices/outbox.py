"""Outbox: what receivers are still to be told, on the disk until they have taken it."""

import logging
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.notices import receivers
from tasks.platform import workspace

log = logging.getLogger(__name__)

MOST = 20_000
"""Notices that wait for one receiver; beyond that the oldest go, and the log says so."""
SHORTEST, LONGEST = 2.0, 300.0
"""Seconds until a receiver that took nothing is asked again, at first and at last."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS notice (
    number INTEGER PRIMARY KEY AUTOINCREMENT, receiver INTEGER NOT NULL, topic TEXT NOT NULL,
    subject TEXT NOT NULL, text TEXT NOT NULL, at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS turn (
    receiver INTEGER PRIMARY KEY, next_at REAL NOT NULL, failures INTEGER NOT NULL
);
"""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something that happened."""

    number: int
    topic: str
    """One of ``receivers.TOPICS``."""
    subject: str
    """Name of the model or data set."""
    text: str
    at: str
    """UTC, ISO 8601."""


def put(entries: Sequence[tuple[str, str, str]]) -> int:
    """Keep notices (topic, subject, text) for whoever wants to know of them; how many were kept."""
    known = receivers.read()
    at = datetime.now(UTC).isoformat(timespec="seconds")
    rows = [
        (each.number, *entry, at) for entry in entries for each in known if entry[0] in each.topics
    ]
    if not rows:
        return 0
    with _opened() as database, database:
        statement = "INSERT INTO notice (receiver, topic, subject, text, at) VALUES (?, ?, ?, ?, ?)"
        database.executemany(statement, rows)
        for number in {row[0] for row in rows}:
            limit = (
                "SELECT number FROM notice WHERE receiver = ? ORDER BY number DESC LIMIT 1 OFFSET ?"
            )
            if found := database.execute(limit, (number, MOST)).fetchone():
                gone = "DELETE FROM notice WHERE receiver = ? AND number <= ?"
                count = database.execute(gone, (number, found[0])).rowcount
                log.warning("%d notices for receiver %d are lost: too many wait.", count, number)
    return len(rows)


def due(number: int) -> tuple[Notice, ...]:
    """What a receiver is to be told now, in order; nothing while it is another one's turn."""
    with _opened() as database:
        turn = "SELECT next_at FROM turn WHERE receiver = ?"
        wait = database.execute(turn, (number,)).fetchone()
        if wait and wait[0] > time.time():
            return ()
        columns = "number, topic, subject, text, at"
        statement = f"SELECT {columns} FROM notice WHERE receiver = ? ORDER BY number"  # noqa: S608
        names = columns.split(", ")
        rows = database.execute(statement, (number,)).fetchall()
        return tuple(Notice(**dict(zip(names, row, strict=True))) for row in rows)


def taken(number: int, notices: Sequence[Notice], every: float) -> None:
    """A receiver has been told; it is told nothing for a while."""
    with _opened() as database, database:
        last = max(each.number for each in notices)
        database.execute("DELETE FROM notice WHERE receiver = ? AND number <= ?", (number, last))
        database.execute("REPLACE INTO turn VALUES (?, ?, 0)", (number, time.time() + every))


def refused(number: int) -> float:
    """A receiver has taken nothing; seconds until it is asked again."""
    with _opened() as database, database:
        statement = "SELECT failures FROM turn WHERE receiver = ?"
        before = (database.execute(statement, (number,)).fetchone() or (0,))[0]
        pause = min(SHORTEST * 2.0 ** min(before, 10), LONGEST)
        row = (number, time.time() + pause, before + 1)
        database.execute("REPLACE INTO turn VALUES (?, ?, ?)", row)
    return pause


def drop(number: int) -> None:
    """Forget what a receiver was still to be told."""
    with _opened() as database, database:
        database.execute("DELETE FROM notice WHERE receiver = ?", (number,))
        database.execute("DELETE FROM turn WHERE receiver = ?", (number,))


def waiting() -> int:
    """Notices that nobody has taken yet."""
    with _opened() as database:
        return int(database.execute("SELECT count(*) FROM notice").fetchone()[0])


@contextmanager
def _opened() -> Iterator[sqlite3.Connection]:
    path = workspace.home() / "notices.db"
    with closing(sqlite3.connect(path, timeout=10)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(SCHEMA)
        yield database
