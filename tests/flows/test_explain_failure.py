import errno
import sqlite3

import httpx
import pytest
import sqlalchemy
from mlflow.exceptions import MlflowException

from flows import explain_failure
from models.errors import DataError


@pytest.fixture
def locked(tmp_path):
    """A database that somebody else is writing to."""
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as holder:
        holder.execute("create table runs (id)")
        holder.commit()
        holder.execute("begin exclusive")
        yield path
        holder.rollback()
    holder.close()


def raised(function):
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_locked_database_is_told_as_such(locked, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///somewhere.db")
    engine = sqlalchemy.create_engine(f"sqlite:///{locked}", connect_args={"timeout": 0})

    def write():
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("select * from runs"))

    error = raised(write)
    told = explain_failure.explain(error)
    assert "MLflow's store at sqlite:///somewhere.db must answer" in told
    assert "database is locked" in told
    assert "run the same command again" in told
    assert explain_failure.explain(MlflowException(str(error))) is not None


def test_a_server_that_was_asked_through_a_proxy_is_told_with_it(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example:4200/api")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    told = explain_failure.explain(httpx.ConnectError("All connection attempts failed"))
    assert "through the proxy http://proxy.example:3128" in told


def test_a_full_disk_is_told_however_deep_it_lies():
    full = OSError(errno.ENOSPC, "No space left on device")
    outer = MlflowException("It failed.")
    outer.__cause__ = full
    assert "room on the disk" in explain_failure.explain(outer)
    assert "room on the disk" in explain_failure.explain(OSError(errno.EFBIG, "File too large"))
    text = "(sqlite3.OperationalError) database or disk is full"
    assert "room on the disk" in explain_failure.explain(MlflowException(text))


def test_a_prefect_server_that_is_gone_is_told_with_its_address(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    error = raised(lambda: httpx.get("http://127.0.0.1:9/api/health", timeout=5))
    told = explain_failure.explain(error)
    assert "http://127.0.0.1:9/api must answer" in told
    assert "run the same command again" in told


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a defect"),
        MlflowException("Invalid tag name: it must not be empty."),
        OSError(errno.ENOENT, "No such file"),
    ],
)
def test_what_may_be_a_defect_of_ours_keeps_its_traceback(error):
    assert explain_failure.explain(error) is None
    assert not explain_failure.is_expected(error)


def test_our_own_clear_errors_need_no_traceback():
    assert explain_failure.is_expected(DataError("It must be so, and is not. Mend it."))
    assert not explain_failure.is_expected(None)
