"""Predictions: what was answered to whom, by which version, for as long as there is room.

One SQLite file for each model, ``.unseen/predictions/NAME.db``: rows are added and never changed,
and the oldest go when the file is as large as it may be. Images are not kept, only their SHA-256. A
thread of its own writes: a request waits for no disk and fails for none. What was answered in the
last moments before a crash may be missing; what is there is whole.
"""

import json
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.errors import NotFoundError
from tasks.platform import workspace

log = logging.getLogger(__name__)

MOST_BYTES = 512 * 2**20
"""Of one file, before its oldest rows go."""
MOST_WAITING = 2048
"""Predictions that wait to be written."""
TOGETHER = 256
"""Predictions that are written at once."""
PAUSE_SECONDS = 0.2
"""Between two writes: so much is missing after a crash."""
LEAST_LEFT = 0.9
"""Share of ``MOST_BYTES`` that is left when the oldest rows have gone."""
COMPLAIN_SECONDS = 60.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS prediction (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL,
    content TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS prediction_request_id ON prediction (request_id);
CREATE TRIGGER IF NOT EXISTS prediction_is_final BEFORE UPDATE ON prediction
BEGIN SELECT RAISE(ABORT, 'predictions are never changed'); END;
"""

OPENING_SECONDS = 5.0
"""For which a file that another server is opening is tried again."""


@dataclass(frozen=True, kw_only=True)
class LoggedPrediction:
    """One answer of the server."""

    request_id: str
    """As the answer named it; chosen by the client if it sent one."""
    when: str
    """UTC, ISO 8601."""
    client: str
    """Name of the key that was used; empty without one."""
    model: str
    version: int
    model_digest: str
    data_digest: str
    """Of the data version that the model was trained on."""
    files: tuple[str, ...]
    """SHA-256 of each uploaded file, in order."""
    threshold: float
    frames: tuple[int, ...]
    """Position of each scored frame in the request."""
    image_score: tuple[float, ...]
    p_value: tuple[float, ...]
    anomalous: tuple[int, ...]
    """Positions of the frames that were called anomalous."""

    @property
    def is_clip(self) -> bool:
        """Whether the files were scored together; else each is a still image with one score."""
        return self.frames != tuple(range(len(self.files)))


class PredictionLog:
    """Writes predictions of one model.

    Args:
        name: The registered model.
        most_bytes: That its file may have.

    Attributes:
        lost: Predictions that could not be kept: the disk was full, or too slow.
    """

    def __init__(self, name: str, most_bytes: int = MOST_BYTES) -> None:
        self.name, self.most_bytes = name, most_bytes
        self.lost = 0
        self._waiting: queue.Queue[LoggedPrediction | None] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._database: sqlite3.Connection | None = None
        self._complained = -COMPLAIN_SECONDS

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._run, name="predictions", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end."""
        if self._thread:
            with suppress(queue.Full):
                self._waiting.put(None, timeout=1.0)
            self._thread.join(timeout=10)

    def put(self, prediction: LoggedPrediction) -> None:
        """Keep a prediction, or lose it if too many wait."""
        try:
            self._waiting.put_nowait(prediction)
        except queue.Full:
            self._lose(1, "more come than can be written")

    def _run(self) -> None:
        going = True
        while going:
            batch = [self._waiting.get()]
            with suppress(queue.Empty):
                while len(batch) < TOGETHER:
                    batch.append(self._waiting.get_nowait())
            going = None not in batch
            self._write([each for each in batch if each is not None])
            if going and len(batch) < TOGETHER:
                time.sleep(PAUSE_SECONDS)
        if self._database:
            self._database.close()

    def _write(self, batch: Sequence[LoggedPrediction]) -> None:
        try:
            if self._database is None:
                self._database = _open(path_of(self.name))
            rows = [(each.request_id, json.dumps(vars(each))) for each in batch]
            with self._database as transaction:
                statement = "INSERT INTO prediction (request_id, content) VALUES (?, ?)"
                transaction.executemany(statement, rows)
            self._make_room(self._database)
        except Exception as error:  # of the disk: whatever it is, predictions go on
            self._lose(len(batch), str(error))
            with suppress(Exception):
                if self._database:
                    self._database.close()
            self._database = None

    def _make_room(self, database: sqlite3.Connection) -> None:
        """Let the oldest rows go if the pages in use are too many; free ones are used again."""
        figures = ("page_count", "freelist_count", "page_size")
        count, free, size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in figures)
        used = (count - free) * size
        if used <= self.most_bytes:
            return
        first, last = database.execute("SELECT min(number), max(number) FROM prediction").fetchone()
        share = 1 - LEAST_LEFT * self.most_bytes / used
        with database as transaction:
            limit = first + int((last - first + 1) * share)
            transaction.execute("DELETE FROM prediction WHERE number < ?", (limit,))

    def _lose(self, num: int, why: str) -> None:
        self.lost += num
        if time.monotonic() - self._complained >= COMPLAIN_SECONDS:
            log.warning("Predictions of %s are not kept: %s.", self.name, why)
            self._complained = time.monotonic()


def path_of(name: str) -> Path:
    """Where the predictions of a model are kept."""
    return workspace.home() / "predictions" / f"{name}.db"


def find(request_id: str) -> tuple[LoggedPrediction, ...]:
    """The predictions that were answered under a request id, the newest first.

    Raises:
        NotFoundError: If there is none, or no longer.
    """
    found: list[LoggedPrediction] = []
    for path in sorted((workspace.home() / "predictions").glob("*.db")):
        with suppress(sqlite3.Error), closing(_open(path)) as database:
            statement = "SELECT content FROM prediction WHERE request_id = ?"
            found += [_read(row[0]) for row in database.execute(statement, (request_id,))]
    if not found:
        raise NotFoundError(
            f"There is no logged prediction {request_id!r} here. The request id is in the answer "
            "and in its header X-Request-ID; 'unseen serve' keeps predictions as long as there is "
            "room, unless it was started with --no-log-predictions."
        )
    return tuple(sorted(found, key=lambda each: each.when, reverse=True))


def newest(name: str, most: int) -> Iterator[LoggedPrediction]:
    """The predictions of a model that were answered last, the newest first.

    Args:
        name: The registered model.
        most: How many are read.
    """
    path = path_of(name)
    if not path.exists():
        return
    with closing(_open(path)) as database:
        statement = "SELECT content FROM prediction ORDER BY number DESC LIMIT ?"
        for row in database.execute(statement, (most,)):
            yield _read(row[0])


def only(prediction: LoggedPrediction, place: int) -> LoggedPrediction:
    """What was answered of one still image of several that were scored together."""
    return replace(
        prediction,
        frames=(0,),
        image_score=(prediction.image_score[place],),
        p_value=(prediction.p_value[place],),
        anomalous=(0,) if place in prediction.anomalous else (),
    )


def ids(name: str, prefix: str) -> frozenset[str]:
    """Request ids of a model's predictions that begin with a text."""
    path = path_of(name)
    if not path.exists():
        return frozenset()
    with closing(_open(path)) as database:
        statement = "SELECT request_id FROM prediction WHERE request_id >= ? AND request_id < ?"
        rows = database.execute(statement, (prefix, f"{prefix}\x7f"))
        return frozenset(row[0] for row in rows)


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(exist_ok=True)
    database = sqlite3.connect(path, timeout=10, check_same_thread=False)
    last = time.monotonic() + OPENING_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")  # readers and other servers can go on
            break
        except sqlite3.OperationalError as error:
            # Another one sets it now, and SQLite does not wait for this as it does for rows.
            if "locked" not in str(error) or time.monotonic() > last:
                database.close()
                raise
            time.sleep(0.02)
    database.execute("PRAGMA synchronous = NORMAL")
    database.executescript(SCHEMA)
    return database


def _read(text: str) -> LoggedPrediction:
    known: dict[str, Any] = json.loads(text)
    lists = {key: tuple(value) for key, value in known.items() if isinstance(value, list)}
    return LoggedPrediction(**{**known, **lists})
