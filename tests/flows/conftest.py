"""A project of one's own whose flows run against the session's Prefect server."""

import shutil
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_LOCAL_STORAGE_PATH,
    temporary_settings,
)

from tests.conftest import make_repository
from tests.flows.tiny import write

RECIPE = f"{Path(__file__).with_name('tiny.py')}:tiny"


@pytest.fixture(scope="module")
def module_patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, orchestrated, empty_store, module_patch):
    """A repository with a folder ``incoming`` to ingest; the working directory of the module."""
    folder = make_repository(tmp_path_factory.mktemp("workplace"))
    write(folder / "incoming")
    (folder / ".unseen").mkdir()
    shutil.copyfile(empty_store, folder / ".unseen" / "mlflow.db")
    module_patch.chdir(folder)
    module_patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/.unseen/mlflow.db")
    settings = {
        PREFECT_API_URL: orchestrated[1],
        PREFECT_HOME: folder / ".unseen" / "prefect",
        PREFECT_LOCAL_STORAGE_PATH: folder / ".unseen" / "prefect" / "storage",
    }
    with temporary_settings(settings):
        yield folder
