import subprocess
import sys

import mlflow
import pytest

from tasks.registry import lazy_mlflow


def test_it_has_what_mlflow_has():
    assert lazy_mlflow.MlflowClient is mlflow.MlflowClient
    assert lazy_mlflow.exceptions is mlflow.exceptions
    with pytest.raises(AttributeError):
        _ = lazy_mlflow.no_such_thing


def test_commands_that_only_ask_import_nothing_large():
    code = (
        "import sys; import flows.cli.main, flows.cli.tables, tasks.lineage.trace, "
        "tasks.registry.history; "
        "print(sorted({'mlflow', 'torch', 'prefect', 'pandas', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
