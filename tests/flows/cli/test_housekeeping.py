"""What the commands print; what they do is tested where it is done."""

import mlflow
import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from models.errors import InvalidInputError
from tasks.registry import mlflow_store


@pytest.fixture(autouse=True)
def project(workplace):
    with mlflow_store.run("fit", "squares", tags={}, params={}):
        mlflow.log_metric("m", 1.0)


def unseen(*arguments):
    return CliRunner().invoke(app, arguments)


def test_a_pruning_deletes_nothing_unless_it_is_told_to(workplace):
    shown = unseen("prune")
    assert shown.exit_code == 0, shown.output
    assert "would go" in shown.output
    assert "Nothing was deleted; add --delete" in shown.output
    assert "deleted" in unseen("prune", "--delete").output
    assert isinstance(unseen("prune", "--keep-days", "0").exception, InvalidInputError)


def test_a_backup_tells_what_it_holds(workplace, tmp_path):
    shown = unseen("backup", str(tmp_path / "backup"))
    assert shown.exit_code == 0, shown.output
    assert "registered models: none; 0 objects of DVC" in " ".join(shown.output.split())
    refused = unseen("restore-backup", str(tmp_path / "backup"))
    assert "restored where no store is" in str(refused.exception)
