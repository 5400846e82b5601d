"""Projects that are made once in a session: what takes seconds to train takes none to copy."""

import os
import shutil
import sqlite3
from contextlib import closing, contextmanager

import pytest
from filelock import FileLock


def once(tmp_path_factory, name, make):
    """Folder in which ``make`` was called, by whichever process of the session came first.

    It is there to be copied, and nobody may change it.
    """
    top = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        top = top.parent  # of all processes
    folder, done = top / name, top / f"{name}.made"
    with FileLock(top / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of one that failed
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def copied(made, folder):
    """The new folder, with a project of its own: places in MLflow's store are those of the copy."""
    from mlflow.tracking._tracking_service import utils

    shutil.copytree(made, folder, symlinks=True, dirs_exist_ok=True)
    before, after = str(made), str(folder)
    for path in folder.rglob("mlflow.db"):
        with closing(sqlite3.connect(path)) as database, database:
            for table, column in _texts(database):
                database.execute(
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) '  # noqa: S608
                    f'WHERE instr("{column}", ?)',
                    (before, after, before),
                )
    for path in folder.rglob("MLmodel"):
        text = path.read_text()
        if before in text:
            path.write_text(text.replace(before, after))
    utils._artifact_repos_cache.clear()  # places by id, and another copy has the same ids
    return folder


@contextmanager
def entered(repository):
    """Work in a repository, with the MLflow store in it; yields what takes changes back."""
    import mlflow

    before = mlflow.get_tracking_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repository)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{repository}/.unseen/mlflow.db")
        try:
            yield patch
        finally:
            mlflow.set_tracking_uri(before)


def _texts(database):
    """Every column of every table that holds text."""
    tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        for _, column, kind, *_ in database.execute(f'PRAGMA table_info("{table}")').fetchall():
            if kind.upper().startswith(("VARCHAR", "TEXT")):
                yield table, column
