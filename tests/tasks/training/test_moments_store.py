import json

import mlflow
import pytest
import torch
from safetensors.torch import save_file

from models.errors import DataError
from models.functional.gaussian import Moments
from tasks.packaging import tensors
from tasks.registry import mlflow_store
from tasks.training import moments_store
from tasks.training.moments_store import Part
from tests.tasks.conftest import VERSION


def moments(seed=0):
    made = Moments(3)
    made.update(torch.randn(9, 3, generator=torch.Generator().manual_seed(seed)))
    return made


def log(folder, basis, total, updates=0):
    """A run that kept the moments of one clip, as a fit does; its id."""
    from dataclasses import asdict

    with mlflow_store.run("fit", "squares", tags={moments_store.BASIS: basis}, params={}) as active:
        plain = tensors.plain(total.tensors())
        save_file(plain, folder / "total.safetensors")
        save_file({f"k.{n}": v for n, v in plain.items()}, folder / "parts.safetensors")
        part = Part(name="good/01", num_images=4, held_by=active.info.run_id)
        known = {"digest": moments_store.digest(total), "data": asdict(VERSION), "updates": updates}
        (folder / "clips.json").write_text(json.dumps({**known, "clips": {"k": asdict(part)}}))
        mlflow.log_artifacts(str(folder), moments_store.FOLDER)
    return active.info.run_id


@pytest.fixture
def folder(repository, tmp_path):
    made = tmp_path / "statistics"
    made.mkdir()
    return made


def test_a_digest_names_moments_to_the_last_bit():
    assert moments_store.digest(moments()) == moments_store.digest(moments())
    other = moments()
    other.mean[1] = torch.nextafter(other.mean[1], torch.tensor(9.0).double())
    assert moments_store.digest(other) != moments_store.digest(moments())


def test_runs_on_the_same_basis_are_found_with_all_they_kept(folder):
    run_id = log(folder, "a" * 64, moments())
    log(folder, "b" * 64, moments(1))
    experiment = mlflow_store.experiment("squares")
    (found,) = moments_store.find("a" * 64, experiment)
    assert (found.run_id, found.data, found.updates) == (run_id, VERSION, 0)
    assert found.parts == {"k": Part(name="good/01", num_images=4, held_by=run_id)}
    for kept in (found.total, moments_store.stored("k", found.parts["k"])):
        assert moments_store.digest(kept) == moments_store.digest(moments())
    assert moments_store.find("c" * 64, experiment) == []


def test_the_newest_comes_first_and_long_chains_are_left_out(folder):
    log(folder, "a" * 64, moments(), updates=moments_store.MOST_UPDATES)
    runs = [log(folder, "a" * 64, moments()) for _ in range(2)]
    found = moments_store.find("a" * 64, mlflow_store.experiment("squares"))
    assert [parent.run_id for parent in found] == runs[::-1]


def test_a_run_that_failed_or_lost_its_list_is_no_parent(folder):
    with (
        pytest.raises(ZeroDivisionError),
        mlflow_store.run("fit", "squares", tags={moments_store.BASIS: "a" * 64}, params={}),
    ):
        raise ZeroDivisionError
    with mlflow_store.run("fit", "squares", tags={moments_store.BASIS: "a" * 64}, params={}):
        pass
    assert moments_store.find("a" * 64, mlflow_store.experiment("squares")) == []


def test_moments_that_are_lost_or_others_are_refused(folder):
    log(folder, "a" * 64, moments())
    (found,) = moments_store.find("a" * 64, mlflow_store.experiment("squares"))
    lost = moments_store.Parent(**{**vars(found), "run_id": "0" * 32})
    with pytest.raises(DataError, match="are lost"):
        _ = lost.total
    changed = moments_store.Parent(**{**vars(found), "digest": "0" * 64})
    with pytest.raises(DataError, match="not those that were logged"):
        _ = changed.total
    with pytest.raises(moments_store.LOST):
        moments_store.stored("k", Part(name="good/01", num_images=4))
    with pytest.raises(moments_store.LOST):
        moments_store.stored("other", found.parts["k"])
