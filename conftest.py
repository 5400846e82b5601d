"""Check every shape annotation of ``models`` while the tests run; keep every telemetry quiet."""

import os

from jaxtyping import install_import_hook

os.environ.update(
    DO_NOT_TRACK="1",
    MLFLOW_DISABLE_TELEMETRY="true",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    DVC_NO_ANALYTICS="1",
    ORT_DISABLE_TELEMETRY="1",
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false",
    UNSEEN_PROGRAMS="none",  # exporting takes seconds; tests of it export by themselves
)

if "PYTEST_XDIST_WORKER" in os.environ:  # one process per core, so one thread per process
    os.environ.setdefault("OMP_NUM_THREADS", "1")

collect_ignore = ["tests/tasks/registry/keys_under_edits.py"]
"""A script that a test runs in a copy of the sources."""

SLOW = {"orchestrated", "empty_store", "settled", "benchmark_folder"}
"""Fixtures that start servers, make stores or train: ``make test-fast`` does without them."""
SERVERS_FIRST = ("tests/test_prefect_deploy", "tests/flows/", "tests/tasks/console/", "tests/")


def pytest_collection_modifyitems(items):
    """Long files go first: one at the end would keep one process busy and leave the others idle."""
    for item in items:
        if SLOW.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    items.sort(key=lambda item: [not item.nodeid.startswith(one) for one in SERVERS_FIRST])


install_import_hook("models", "beartype.beartype")
