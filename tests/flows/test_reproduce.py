"""Tiny champions are trained again; then their records are tampered with in several ways."""

import json
import os
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from flows.cli.main import app
from flows.cli.run_flow import run_with_recorded_code
from flows.reproduce import reproduce
from flows.retrain import retrain
from models.errors import DataError, RegistryError
from tasks.data import dvc_cache
from tasks.lineage import training_record
from tasks.lineage.trace import trace
from tasks.platform import files
from tasks.registry import mlflow_store, model_versions
from tests.flows.conftest import POOLED
from tests.flows.tampered import edit_json, tampered


@pytest.fixture(scope="module")
def pooled(trained):
    """Version 1 on the data, version 2 on changed data with the encoder of version 1."""
    changed = shutil.copytree(trained / "incoming", trained / "changed")
    (changed / "train" / "good" / "005.png").unlink()
    shutil.copyfile(changed / "train" / "good" / "006.png", changed / "train" / "good" / "100.png")
    return retrain(POOLED, changed, keep_encoder=True)


def state(folder):
    """All that a reproduction must leave alone."""
    client = mlflow_store.client()
    names = [each.name for each in client.search_registered_models()]
    return {
        "aliases": {name: model_versions.aliases(client, name) for name in names},
        "versions": {
            n: sorted(v.version for v in model_versions.versions(client, n)) for n in names
        },
        "data.dvc": (folder / "data.dvc").read_bytes(),
        "data": [(path, path.stat().st_mtime_ns) for path in sorted((folder / "data").rglob("*"))],
        "cache": sorted(dvc_cache.cache_folder().rglob("*")),
        "store": (os.environ["MLFLOW_TRACKING_URI"], str(Path.cwd())),
        "scratch": list((folder / ".unseen" / files.SCRATCH).glob("*")),
    }


def runs():
    client = mlflow_store.client()
    experiments = [each.experiment_id for each in client.search_experiments()]
    return {run.info.run_id for run in client.search_runs(experiments)}


def test_a_champion_comes_out_bit_for_bit_and_nothing_else_changes(trained):
    (trained / ".unseen" / files.SCRATCH).mkdir(exist_ok=True)
    before, known = state(trained), runs()
    found = reproduce("tiny")
    assert found.verdict == "identical", (found.tensors, found.metrics, found.notes)
    parts = {each.name.partition(".")[0] for each in found.tensors}
    assert parts == {"weights", "statistics", "calibration"}
    assert {"image_auroc", "threshold"} <= {each.name for each in found.metrics}
    assert found.environment_then == found.environment_now
    assert found.notes == ()
    assert state(trained) == before
    assert runs() - known == {found.run_id}
    (told,) = trace("tiny").reproductions
    assert (told.run_id, told.when, told.verdict) == (found.run_id, found.when, "identical")


def test_a_kept_encoder_is_refitted_from_what_changed_in_the_data(pooled):
    client = mlflow_store.client()
    experiment = client.get_experiment_by_name("pooled").experiment_id
    assert len(client.search_runs([experiment], "tags.`unseen.kind` = 'pretrain'")) == 1
    before, after = (client.get_model_version("pooled", str(number)).tags for number in (1, 2))
    assert pooled.version == 2
    assert after["unseen.pretext_run_id"] == before["unseen.pretext_run_id"]
    told = json.loads(after["unseen.statistics"])
    assert told["parent"]["run_id"] == before["unseen.run_id"]
    assert told["parent"]["data"] == before["unseen.data_digest"] != after["unseen.data_digest"]
    changed_clips = {*told["added"], *told["removed"]}
    assert changed_clips & {"good/005", "good/100"}
    assert len(changed_clips) <= 4


def test_a_kept_encoder_is_trained_on_what_it_was_trained_on(pooled):
    known = training_record.recorded("pooled@2")
    assert known.pretext.version.digest != known.data.version.digest
    found = reproduce("pooled@2")
    assert found.verdict in {"identical", "agrees within tolerance"}, found
    assert all(each.then == each.now for each in found.metrics if each.name == "image_auroc")
    assert any("here all clips were read" in note for note in found.notes)


def test_a_changed_tensor_and_a_changed_metric_are_told_and_nothing_else_differs(pooled):
    def change(folder):
        tensors = load_file(folder / "statistics.safetensors")
        name = min(tensors)
        tensors[name].view(-1)[0] *= 1.5
        save_file(tensors, folder / "statistics.safetensors")

    with tampered("pooled@1", change, **{"metric.image_auroc": "0.123"}):
        done = CliRunner().invoke(app, ["reproduce", "pooled@1", "--json"])
        assert done.exit_code == 5, done.output
    told = json.loads(done.stdout)
    assert told["verdict"] == "differs"
    differing = [
        each["name"] for each in told["tensors"] + told["metrics"] if each["verdict"] != "identical"
    ]
    assert len(differing) == 2
    assert differing[0].startswith("statistics.")
    assert differing[1] == "image_auroc"


def test_another_seed_differs(pooled):
    def change(folder):
        edit_json(
            folder / "lineage.json", lambda known: known["recipe"]["training"].update(seed=99)
        )

    with tampered("pooled@1", change):
        found = reproduce("pooled@1")
    assert found.verdict == "differs"
    assert "statistics.mean" in {each.name for each in found.tensors if each.verdict == "differs"}


def test_lost_bytes_are_named_with_how_to_get_them(pooled, trained):
    entry = training_record.recorded("pooled@1").data.files[0]
    path = dvc_cache.cached_path(entry.md5)
    kept = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(DataError, match=rf"{entry.relpath} .*'unseen ingest DIR --as NAME'"):
            reproduce("pooled@1")
    finally:
        path.write_bytes(kept)
    assert not list((trained / ".unseen" / files.SCRATCH).iterdir())


def test_a_changed_package_is_refused(pooled):
    folder = training_record.recorded("pooled@1").folder
    text = (folder / "lineage.json").read_text()
    (folder / "lineage.json").write_text(text.replace('"seed": 0', '"seed": 1'))
    try:
        with pytest.raises(RegistryError, match=r"changed, missing or added: lineage\.json"):
            reproduce("pooled@1")
    finally:
        (folder / "lineage.json").write_text(text)


def test_the_recorded_sources_of_models_can_take_the_place_of_the_present_ones(pooled, trained):
    seen = trained / "seen"

    def change(folder):
        path = folder / "sources" / "models" / "errors.py"
        path.write_text(f"{path.read_text()}\nopen({str(seen)!r}, 'w').close()\n")

    with tampered("pooled@1", change) as folder:
        assert training_record.changed_models(folder) == ("models/errors.py",)
        assert run_with_recorded_code("pooled@1", ["recipes"]) == 0
    assert seen.exists()
