import httpx
import pytest
from mlflow.exceptions import MlflowException
from prefect import flow, task

from models.errors import DataError, RegistryError
from tasks.platform import outages


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (httpx.ConnectError("refused"), True),
        (MlflowException("API request to http://m failed"), True),
        (MlflowException("Registered Model with name=x not found"), False),
        (caused(RegistryError("MLflow must answer"), MlflowException("database is locked")), True),
        (ConnectionResetError(), True),
        (PermissionError(), False),
        (DataError("3 files"), False),
        (ValueError("no"), False),
    ],
)
def test_what_may_pass_is_told_from_what_stays(error, passes):
    assert outages.may_pass(error) is passes


@pytest.mark.parametrize(
    ("error", "attempts"), [(httpx.ReadTimeout("slow"), 3), (DataError("no"), 1)]
)
def test_prefect_retries_an_outage_and_nothing_else(workplace_server, error, attempts):
    tried = []

    @task(**{**outages.RETRIED, "retry_delay_seconds": 0.01})
    def read():
        tried.append(1)
        if len(tried) < 3:
            raise error
        return "read"

    @flow
    def once():
        return read()

    state = once(return_state=True)
    assert (len(tried), state.is_completed()) == (attempts, attempts == 3)


@pytest.fixture
def workplace_server(orchestrated):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: orchestrated[1]}):
        yield
