"""Where the files of MLflow's local store are: with the workplace, wherever that is moved.

MLflow writes absolute places into its database. When the workplace was moved or copied, those would
lead to where it was, and the next run would write there.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tasks.platform import workspace
from tasks.platform.locks import Lock

log = logging.getLogger(__name__)

PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
"""Where MLflow's database keeps the places of files."""
MARK = "/.unseen/artifacts/"


def settle(database: Path) -> None:
    """Let the database of the workplace name places in the workplace, and say so if it did not."""
    if not former_roots(database):
        return
    try:
        with Lock("mlflow"):
            for root in former_roots(database):
                count = move(database, root, workspace.root())
                log.warning(
                    "The workplace was in %s; %s places of files in MLflow's store now lead to %s.",
                    root,
                    count,
                    workspace.root(),
                )
    except OSError as error:  # of who may only read
        log.warning("The workplace was moved, and its store cannot be written: %s.", error)


def former_roots(database: Path) -> tuple[Path, ...]:
    """Other folders in which the workplace was when experiments were made in its database."""
    here = workspace.root()
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=60)) as store:
        try:
            rows = list(store.execute("SELECT artifact_location FROM experiments"))
        except sqlite3.OperationalError:  # no tables yet
            return ()
    found = dict.fromkeys(_roots(str(row[0]) for row in rows))
    return tuple(root for root in found if root != here)


def _roots(places: Iterator[str]) -> Iterator[Path]:
    for place in places:
        parsed = urlsplit(place)
        if parsed.scheme in ("", "file") and MARK in parsed.path:
            yield Path(unquote(parsed.path).partition(MARK)[0])


def move(database: Path, before: Path, after: Path) -> int:
    """Rewrite every place below one folder to the same place below another; how many there were."""
    count = 0
    with closing(sqlite3.connect(database, timeout=60)) as store, store:
        for table, column in PLACES:
            for old, new in ((before.as_uri(), after.as_uri()), (str(before), str(after))):
                done = store.execute(
                    f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) '  # noqa: S608
                    f'WHERE substr("{column}", 1, ?) = ?',
                    (new, len(old) + 1, len(old) + 1, f"{old}/"),
                )
                count += done.rowcount
    return count
