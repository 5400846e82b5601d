"""Two processes that solve a pretext task together, over gloo: one run of torchrun for it all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models import pretext
from tests.models.on_disk import models_of
from tests.models.pretext.together import batches, drawing_nothing, weights

ROOT = Path(__file__).parents[3]
NAMES = [*(each.__name__ for each in models_of(pretext)), "Adversary"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where two processes left what they learned."""
    folder = tmp_path_factory.mktemp("ranks")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", "-m", "tests.models.pretext.together", folder],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        text=True,
        timeout=240,
    )
    assert not done.returncode, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def ranks(folder):
    """A function from a name to what both processes were left with."""
    return lambda name: [load_file(folder / f"{name}-{rank}.safetensors") for rank in (0, 1)]


@pytest.mark.parametrize("name", NAMES)
def test_both_processes_end_with_the_same_weights_and_losses(ranks, name):
    first, second = ranks(name)
    assert first.keys() == second.keys()
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=0, atol=0)
        assert first[key].isfinite().all()


def test_they_take_the_steps_that_one_process_takes(ranks):
    first, _ = ranks("same")
    alone = drawing_nothing().fit(batches())
    for name, value in weights(alone).items():
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-5)
    assert first["history"].tolist() == pytest.approx(alone.history_, rel=1e-5)
    assert torch.equal(first["mean_image"], alone.mean_image_)


def test_the_loss_falls(ranks):
    history = ranks("same")[0]["history"]
    assert history[-1] < 0.9 * history[0]


def test_an_image_that_one_of_them_cannot_learn_from_stops_both(folder):
    for rank in (0, 1):
        assert "loss must be finite" in (folder / f"refused-{rank}").read_text()
