"""A project that was made before ``tasks`` had rooms, unpacked wherever it is wanted.

``fixtures/old_store.tar.xz`` was written by the last code whose ``tasks`` were flat (its runs name
the commit): ``retrain --recipe recipe.py:squares --data``, the same with ``--seed 1``, and a
rollback. MLflow's database is in it as SQL; pictures and pages are left out. Its place on disk
stands in the database and in the ``MLmodel`` files, and is exchanged as it is unpacked.
"""

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

ARCHIVE = Path(__file__).with_name("fixtures") / "old_store.tar.xz"
PLACE = "/home/ada/project"


def unpack(folder: Path) -> Path:
    """The old project in a new folder; returns it."""
    with tarfile.open(ARCHIVE) as archive:
        members = archive.getmembers()
        for each in members:
            each.name = each.name.removeprefix("project").lstrip("/") or "."
        archive.extractall(folder, members, filter="data")
    store = folder / ".unseen"
    with closing(sqlite3.connect(store / "mlflow.db")) as database:
        database.executescript((store / "mlflow.sql").read_text().replace(PLACE, str(folder)))
    for path in store.rglob("MLmodel"):
        path.write_text(path.read_text().replace(PLACE, str(folder)))
    return folder
