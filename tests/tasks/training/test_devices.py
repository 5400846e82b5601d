import os
import subprocess
import sys
import time

import psutil
import pytest
import torch

from tasks.training import devices

gpu = torch.cuda.is_available()


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_the_device_is_chosen_or_forced(device):
    fabric = devices.fabric(device)
    expected = "cuda" if gpu and device == "auto" else "cpu"
    assert fabric.device.type == expected
    precision = "bf16-mixed" if expected == "cuda" else "32-true"
    assert fabric._precision.precision == precision


def test_a_gpu_that_is_not_there_is_refused():
    code = "from tasks.training import devices; devices.fabric('cuda')"
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=hidden, capture_output=True, text=True, check=False
    )
    assert "InvalidInputError: device 'cuda' needs a GPU" in done.stderr


def test_a_model_is_where_its_first_tensor_is():
    assert devices.device_of(torch.nn.Linear(1, 1)).type == "cpu"
    assert devices.device_of(torch.nn.ReLU()).type == "cpu"
    assert devices.device_of(torch.nn.Linear(1, 1, device="meta")).type == "meta"


def test_every_pass_over_the_images_is_counted():
    batches = [torch.zeros(4, 1), torch.zeros(3, 1)]
    with devices.measured() as usage:
        counted = usage.count(batches)
        assert len(counted) == 2
        for _ in range(2):
            assert [len(batch) for batch in counted] == [4, 3]
        time.sleep(0.01)
    assert usage.num_images == 14
    assert usage.metrics["seconds"] >= 0.01
    assert usage.metrics["images_per_second"] == pytest.approx(14 / usage.metrics["seconds"])


def test_the_peak_of_memory_holds_what_was_allocated():
    # Other threads and the kernel may give memory back meanwhile: compared is what was resident.
    block = torch.ones(250_000_000)
    resident = psutil.Process().memory_info().rss
    del block
    assert resident - 100e6 <= devices.peak_memory() < 1e12
