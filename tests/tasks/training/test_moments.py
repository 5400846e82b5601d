"""A refit from the difference is a full refit; each way to get there is one that was taken."""

import json
import shutil
from pathlib import Path

import mlflow
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.encoders.pixels import Pixels
from models.one_class.pooled_gaussian import PooledGaussian
from tasks.data import dvc_cache, snapshots, versions
from tasks.records import Training
from tasks.registry import mlflow_store
from tasks.training import devices, inputs, moments, moments_store
from tasks.training.batches import Batches, identity
from tests.tasks.pictures import SIZE, picture, save, write_clips

TRAINING = Training(window=6, batch_size=4, calibration_share=0.2, seed=3, device="cpu")
CONFIG = PooledGaussian.Config(num_votes=1, neighbourhood=1)


def write(folder, clip, seed, frames=9):
    for t in range(frames):
        save(folder / "train" / "good" / clip / f"{t:03}.png", picture((9, seed, t), SIZE))


@pytest.fixture
def data(repository):
    return write_clips(repository / "data" / "clips", clips=6)


def refit(config=CONFIG, training=TRAINING, seen=()):
    """Fit on what lies in the folder now; the run, what the lineage will say, all learned state."""
    snapshot = snapshots.open_version(versions.add("clips"))
    clips, _ = inputs.normal_clips(snapshot, training, seen)
    _, held_out = inputs.normal_batches(snapshot, training, seen)
    model = config.build(Pixels.Config(channels=6).build())
    fabric = devices.fabric("cpu")
    with (
        mlflow_store.run("fit", "clips", tags={}, params={}) as active,
        devices.measured() as usage,
    ):
        source = moments.Source(model, training, fabric, usage)
        told = moments.fit(model, snapshot, clips, held_out, source).describe()
    return active.info.run_id, told, model.state_dict()


def fit_anew(monkeypatch):
    """The same without any run to start from."""
    with monkeypatch.context() as patch:
        patch.setattr(moments_store, "find", lambda *_: [])
        return refit()


def agree(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-8, atol=1e-10)


def test_a_first_fit_reads_every_clip(data):
    run_id, told, _ = refit()
    assert told["parent"] is None
    assert told["why"] == moments.Fitted.why
    assert (told["num_clips"], told["added"], told["removed"], told["updates"]) == (5, [], [], 0)
    folder = Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/statistics"))
    known = json.loads((folder / "clips.json").read_text())
    assert known["digest"] == told["digest"]
    assert {part["held_by"] for part in known["clips"].values()} == {run_id}


def test_adding_changing_and_removing_clips_is_a_full_refit(data, monkeypatch):
    first, before, _ = refit()
    write(data, "07", seed=7)
    write(data, "08", seed=8)
    shutil.rmtree(data / "train" / "good" / "03")
    save(data / "train" / "good" / "05" / "004.png", picture(99, SIZE))
    read = spy(monkeypatch)
    _, told, weights = refit()
    assert told["parent"]["run_id"] == first
    assert told["parent"]["digest"] == before["digest"] != told["digest"]
    assert "good/05" in told["added"]
    assert {"good/05", "good/03"} <= set(told["removed"])
    assert told["updates"] == 1
    assert sorted(read) == sorted(told["added"])
    _, anew, expected = fit_anew(monkeypatch)
    assert anew["parent"] is None
    agree(weights, expected)


def spy(monkeypatch):
    """Names of the clips that are read from now on."""
    names = []

    def read(snapshot, clips, **options):
        names.extend(clip.name for clip in clips)
        return Batches(snapshot, clips, **options)

    monkeypatch.setattr(moments, "Batches", read)
    return names


def test_a_chain_of_refits_stays_exact(data, monkeypatch):
    refit()
    for step in range(3):
        write(data, f"1{step}", seed=step)
        shutil.rmtree(data / "train" / "good" / f"0{step + 1}")
        _, told, weights = refit()
    assert told["parent"]
    agree(weights, fit_anew(monkeypatch)[2])


def test_a_clip_is_forgotten_without_its_bytes(data, repository, monkeypatch):
    refit()
    gone = data / "train" / "good" / "03"
    lost = [dvc_cache.locate(dvc_cache.file_md5(path), path.name) for path in gone.iterdir()]
    shutil.rmtree(gone)
    versions.add("clips")
    for path in lost:
        path.unlink()
    _, told, weights = refit()
    assert "good/03" in told["removed"]
    agree(weights, fit_anew(monkeypatch)[2])


def test_large_moments_are_not_kept_but_computed_again_from_the_old_version(data, monkeypatch):
    monkeypatch.setattr(moments_store, "KEPT_BYTES", 0)
    refit()
    shutil.rmtree(data / "train" / "good" / "03")
    read = spy(monkeypatch)
    _, told, weights = refit()
    assert told["parent"]
    assert set(read) == {*told["removed"], *told["added"]}
    agree(weights, fit_anew(monkeypatch)[2])


def test_what_would_lose_digits_is_read_again(data, monkeypatch):
    for clip in range(1, 7):  # all but one are almost dark, and that one goes
        for t in range(9):
            pixels = picture((clip, t), SIZE) if clip == 3 else picture((clip, t), SIZE) // 128
            save(data / "train" / "good" / f"{clip:02}" / f"{t:03}.png", pixels)
    refit()
    shutil.rmtree(data / "train" / "good" / "03")
    subtract = moments.Moments.subtract
    strict = lambda total, part: subtract(total, part, tolerance=1e-14)  # noqa: E731
    monkeypatch.setattr(moments.Moments, "subtract", strict)
    _, told, weights = refit()
    assert told["parent"] is None
    assert "would lose more" in told["why"]
    agree(weights, fit_anew(monkeypatch)[2])


def test_other_settings_start_from_no_parent(data):
    refit()
    for changed in (
        {"config": PooledGaussian.Config(num_votes=1, neighbourhood=3)},
        {"training": Training(window=6, batch_size=5, calibration_share=0.2, seed=3)},
    ):
        _, told, _ = refit(**changed)
        assert told["parent"] is None


def test_damaged_moments_are_no_parent(data):
    first, _, _ = refit()
    folder = mlflow_store.client().get_run(first).info.artifact_uri.removeprefix("file://")
    path = Path(folder) / "statistics" / "total.safetensors"
    damaged = load_file(path)
    damaged["mean"] += 1
    save_file(damaged, path)
    write(data, "07", seed=7)
    _, told, _ = refit()
    assert told["parent"] is None
    assert "not those that were logged" in told["why"]


def test_thresholds_are_computed_anew(data):
    _, _, before = refit()
    for clip in range(1, 7):
        write(data, f"{clip:02}", seed=clip)
    _, told, after = refit()
    assert told["parent"] is None
    assert "Most images differ" in told["why"]
    assert before["limit_"] != after["limit_"]


def test_what_the_encoder_has_seen_is_trained_on(data):
    snapshot = snapshots.open_version(versions.add("clips"))
    _, held_out = inputs.normal_clips(snapshot, TRAINING)
    _, told, _ = refit(seen={identity(clip) for clip in held_out})
    assert told["num_clips"] == 5
    _, again, _ = refit()
    assert {clip.name for clip in held_out} == set(again["removed"])


def test_a_long_chain_ends_in_a_full_pass(data, monkeypatch):
    monkeypatch.setattr(moments_store, "MOST_UPDATES", 1)
    refit()
    for step, updates in ((7, 1), (8, 1), (9, 1)):
        write(data, f"0{step}", seed=step)
        _, told, _ = refit()
        assert told["updates"] == updates
