"""A project of one's own whose flows run against the session's Prefect server."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_LOCAL_STORAGE_PATH,
    temporary_settings,
)

from tests import projects
from tests.conftest import make_repository
from tests.flows.tiny import write

RECIPE = f"{Path(__file__).with_name('tiny.py')}:tiny"
POOLED = RECIPE.replace(":tiny", ":pooled")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, orchestrated, empty_store):
    """A repository with a folder ``incoming`` to ingest; the working directory of the module."""
    folder = begin(tmp_path_factory.mktemp("workplace"), empty_store)
    with at(folder, orchestrated[1]):
        yield folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, orchestrated, empty_store):
    """Such a repository in which versions 1 of ``tiny`` and ``pooled`` were made champions."""
    from flows.retrain import retrain

    def train(folder):
        begin(folder, empty_store)
        with at(folder, orchestrated[1]):
            for recipe in (RECIPE, POOLED):
                assert retrain(recipe, folder / "incoming").champion == 1

    made = projects.once(tmp_path_factory, "trained", train)
    folder = projects.copied(made, tmp_path_factory.mktemp("trained"))
    with at(folder, orchestrated[1]):
        yield folder


def begin(folder, empty_store):
    make_repository(folder)
    write(folder / "incoming")
    (folder / ".unseen").mkdir()
    shutil.copyfile(empty_store, folder / ".unseen" / "mlflow.db")
    return folder


@contextmanager
def at(folder, url):
    """Work in a repository, with a Prefect server that calls and commands find, too."""
    settings = {
        PREFECT_API_URL: url,
        PREFECT_HOME: folder / ".unseen" / "prefect",
        PREFECT_LOCAL_STORAGE_PATH: folder / ".unseen" / "prefect" / "storage",
    }
    with pytest.MonkeyPatch.context() as patch, temporary_settings(settings):
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/.unseen/mlflow.db")
        patch.setenv("PREFECT_API_URL", url)
        yield
