"""Locks on one machine; those between machines are tested in tests/flows/test_shared_stores."""

import pytest
from filelock import Timeout

from models.errors import InvalidInputError, RegistryError
from tasks.platform import locks
from tasks.platform.locks import Lock


def test_a_lock_is_held_by_one_at_a_time(repository):
    with Lock("a") as held:
        held.check()
        with pytest.raises(Timeout):
            Lock("a").acquire(wait=False)
        with Lock("b"):
            pass
    with Lock("a"):
        pass


def test_nobody_is_known_to_hold_a_lock_of_this_machine(repository):
    with Lock("a") as held:
        assert held.holder() is None


@pytest.mark.parametrize(
    ("store", "named", "expected"),
    [
        ("sqlite:///a.db", "", None),
        ("postgresql+psycopg2://ada@db/mlflow", "", "postgresql+psycopg2://ada@db/mlflow"),
        ("https://mlflow.example", "postgresql://db/locks", "postgresql://db/locks"),
        ("http://127.0.0.1:5000", "", None),
    ],
)
def test_the_database_of_locks_is_named_or_that_of_mlflow(monkeypatch, store, named, expected):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv(locks.VARIABLE, named)
    assert locks.database() == expected


def test_a_registry_on_another_machine_without_such_a_database_is_warned_of_once(
    monkeypatch, caplog
):
    locks._warn_once.cache_clear()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ada:secret@mlflow.example/store")
    assert locks.database() is None
    assert locks.database() is None
    (record,) = caplog.records
    assert "this machine only" in record.getMessage()
    assert "secret" not in record.getMessage()


def test_another_kind_of_database_is_refused(monkeypatch):
    monkeypatch.setenv(locks.VARIABLE, "mysql://ada:secret@db/locks")
    with pytest.raises(InvalidInputError, match="PostgreSQL") as refused:
        locks.database()
    assert "secret" not in str(refused.value)


def test_a_database_that_does_not_answer_gives_the_lock_back(repository, monkeypatch):
    pytest.importorskip("psycopg2")
    monkeypatch.setenv(locks.VARIABLE, "postgresql://ada:secret@127.0.0.1:9/locks")
    with pytest.raises(RegistryError, match=r"answer at .*127\.0\.0\.1:9/locks") as failed:
        Lock("a").acquire()
    assert "secret" not in str(failed.value)
    monkeypatch.delenv(locks.VARIABLE)
    with Lock("a"):
        pass


def test_numbers_of_locks_differ_and_fit_into_64_bits():
    numbers = {locks._key(name) for name in ("a.decision", "a.register", "b.decision")}
    assert len(numbers) == 3
    assert all(-(2**63) <= number < 2**63 for number in numbers)
