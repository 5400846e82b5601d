import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.errors import InvalidInputError, NotFoundError
from tasks.data import dvc_cache, dvc_remote
from tasks.lineage.trace import FlowQuery, trace
from tasks.platform import workspace
from tasks.registry import mlflow_store
from tasks.registry.decisions import rollback
from tests.tasks.data.test_dvc_cache import use_remote
from tests.tasks.deployed import VALIDATION, damaged, package_of, tagged
from tests.tasks.flow_runs import flow_run


@pytest.fixture(autouse=True)
def no_prefect_server(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")


def collect_garbage(run_id):
    """Delete a run, and what MLflow keeps of it, for good."""
    from mlflow.cli import gc

    mlflow_store.client().delete_run(run_id)
    done = CliRunner().invoke(gc, ["--backend-store-uri", os.environ["MLFLOW_TRACKING_URI"]])
    assert done.exit_code == 0, done.output


def test_the_walk_goes_from_the_detector_to_the_bytes(settled):
    found = trace("squares")
    assert (found.model.name, found.model.version, found.model.champion) == ("squares", 1, 1)
    assert found.model.aliases == ("challenger", "champion")
    assert len(found.model.digest) == 64
    assert found.run.run_id == mlflow_store.client().get_model_version("squares", "1").run_id
    assert (found.run.found, found.run.status) == (True, "FINISHED")
    assert found.run.hardware["cores"] == str(os.cpu_count())
    assert found.recipe == {
        "name": "squares",
        "metric": "frame_auc",
        "detector": {"shrinkage": 0.01},
    }
    assert (found.seed, found.git_commit) == (0, workspace.git_commit())
    assert found.code_version == workspace.code_version()
    assert found.data.version == settled.clips
    assert (found.data.available, found.data.missing) == (32, 0)
    assert found.validation == VALIDATION
    assert found.pretext.run.found
    assert found.pretext.run.run_id != found.run.run_id
    assert found.pretext.data.version == settled.clips
    assert found.metrics["frame_eer"] == 0.125
    assert [each.action for each in found.decisions] == ["promote"]
    assert found.flow is None
    assert found.notes == ()
    assert (
        json.loads(json.dumps(asdict(found)))["data"]["version"]["digest"] == settled.clips.digest
    )


def test_every_way_to_name_a_version_leads_to_it_and_to_its_decisions(served):
    served.deploy(seed=1)
    rollback("squares", "Too many alarms at dusk.")
    references = ("squares", "squares@champion", "squares@challenger", "squares@2", "squares:1")
    found = [trace(reference) for reference in references]
    assert [each.model.version for each in found] == [1, 1, 2, 2, 1]
    assert {each.model.champion for each in found} == {1}
    for each in found:
        told = [(decision.action, decision.version) for decision in each.decisions]
        assert told == [("promote", 1), ("promote", 2), ("rollback", 2)]
        assert each.decisions[-1].why == "Too many alarms at dusk."


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("circles", r"no registered model 'circles'. Registered: squares"),
        ("squares@best", r"'best'. Versions: 1. Aliases: .*champion -> 1"),
        ("squares@7", r"'7'. Versions: 1"),
    ],
)
def test_what_does_not_exist_is_answered_with_what_does(settled, reference, message):
    with pytest.raises(NotFoundError, match=message):
        trace(reference)


def test_a_reference_needs_a_name(settled):
    with pytest.raises(InvalidInputError, match="got '@champion'"):
        trace("@champion")


def test_the_walk_survives_the_garbage_collection_of_its_runs(served):
    before = trace("squares")
    collect_garbage(before.run.run_id)
    collect_garbage(before.pretext.run.run_id)
    after = trace("squares")
    assert not after.run.found
    assert not after.pretext.run.found
    assert after.run.run_id == before.run.run_id
    assert sum("was deleted" in note for note in after.notes) == 2
    kept = replace(
        after, run=before.run, notes=(), pretext=replace(after.pretext, run=before.pretext.run)
    )
    assert kept == before


def test_a_run_in_the_trash_is_still_read_and_said_to_be_there(settled):
    client = mlflow_store.client()
    run_id = trace("squares").run.run_id
    client.delete_run(run_id)
    assert trace("squares").run.status == "FINISHED, deleted"
    client.restore_run(run_id)


def test_the_walk_survives_the_loss_of_the_models_files(settled):
    before, folder = trace("squares"), package_of()
    with damaged(folder / "lineage.json", b""), damaged(folder / "files.json", b""):
        after = trace("squares")
    assert after.data.version == replace(settled.clips, num_bytes=0)
    assert after.data.available is None
    assert after.recipe == before.recipe
    assert after.validation.run_id == VALIDATION.run_id
    assert after.pretext.run == before.pretext.run
    assert after.metrics == before.metrics
    assert any("own files are lost" in note for note in after.notes)


def test_bytes_that_are_gone_are_counted(settled):
    file = json.loads((package_of() / "files.json").read_text())[0]
    with damaged(dvc_cache.cached_path(file["md5"]), b""):
        traced = trace("squares")
    found = traced.data
    assert (found.available, found.missing, found.remote) == (31, 1, None)
    assert any("1 files of squares" in n and "dvc remote add" in n for n in traced.notes)


def test_the_remote_is_that_of_today_and_is_asked(settled, tmp_path):
    file = json.loads((package_of() / "files.json").read_text())[0]
    use_remote(tmp_path / "remote")
    with damaged(dvc_cache.cached_path(file["md5"]), b""):
        empty = trace("squares")
    assert (empty.data.missing, empty.data.in_remote) == (1, 0)
    assert empty.data.remote == str(tmp_path / "remote")
    assert empty.data.version.remote is None
    dvc_remote.push([file["md5"]])
    with damaged(dvc_cache.cached_path(file["md5"]), b""):
        full = trace("squares")
    (settled.folder / ".dvc" / "config.local").unlink()
    assert (full.data.missing, full.data.in_remote, full.notes) == (1, 1, ())


def test_a_pretext_task_on_other_data_is_traced_to_them(clips, deploy_detector, tmp_path):
    from tasks.data.ingest import ingest

    shutil.rmtree(tmp_path / "source" / "test" / "cart")
    other = ingest.fn("stripes", tmp_path / "source")
    deploy_detector(pretext=other)
    found = trace("squares")
    assert found.data.version == clips
    assert found.pretext.data.version == other
    assert (found.pretext.data.available, found.pretext.data.missing) == (24, 0)


def test_a_prefect_server_that_answers_adds_the_name_and_the_address(orchestrated, monkeypatch):
    api = orchestrated[1]
    monkeypatch.setenv("PREFECT_API_URL", api)
    run = flow_run(api, "COMPLETED")
    run_id = run["id"]
    found = FlowQuery(run_id).answer(seconds=60)
    assert (found.flow_run_id, found.name, found.state) == (run_id, run["name"], "Completed")
    assert found.url == f"{api.removesuffix('/api')}/runs/flow-run/{run_id}"
    unknown = FlowQuery("0" * 32).answer(seconds=60)
    assert (unknown.flow_run_id, unknown.url) == ("0" * 32, None)


def test_without_a_prefect_server_the_id_is_left(deploy_detector, monkeypatch):
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ID", "1b9d6bcd")
    deploy_detector()
    found = trace("squares").flow
    assert (found.flow_run_id, found.url) == ("1b9d6bcd", None)


def test_a_prefect_server_that_hangs_is_not_awaited(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
        assert FlowQuery("1b9d6bcd").answer().url is None


def test_nothing_heavy_is_imported_on_the_way():
    code = (
        "import sys, tasks.lineage.trace, flows.cli.trace_view, tasks.lineage.trace_file\n"
        "heavy = {'torch', 'prefect', 'great_expectations', 'matplotlib', 'dvc.repo'}\n"
        "print(*heavy & sys.modules.keys())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_statistics_tell_the_run_that_they_were_updated_from(settled):
    assert trace("squares").statistics is None
    told = {
        "digest": "a" * 64,
        "num_clips": 3,
        "parent": {"run_id": "b" * 32, "digest": "c" * 64, "data": "d" * 32},
        "added": ["good/04"],
        "removed": [],
        "updates": 1,
        "why": "",
    }
    with tagged(statistics=json.dumps(told)):
        found = trace("squares").statistics
    assert (found.digest, found.num_clips, found.updates) == ("a" * 64, 3, 1)
    assert (found.parent_run_id, found.parent_digest) == ("b" * 32, "c" * 64)
    assert (found.parent_data_digest, found.added, found.removed) == ("d" * 32, ("good/04",), ())
