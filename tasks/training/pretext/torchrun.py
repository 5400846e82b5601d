"""Ranks: processes that solve one pretext task together, started by ``torchrun``.

A process that runs Prefect cannot become one of them (it must not fork, and would run every line
of the flow once more), so they are processes of their own that are told by a folder what to do.
The first of them leaves the solution there, or the reason why there is none.
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from models.contracts import Encoder, PretextConfig
from models.errors import InvalidInputError, TrainingError, UnseenError
from tasks.data import snapshots
from tasks.packaging import config_json, tensors
from tasks.platform import workspace
from tasks.platform.files import scratch
from tasks.records import DataVersion, Training
from tasks.training import devices, inputs
from tasks.training.pretext import solve
from tasks.training.pretext.solve import Solution

JOB, WEIGHTS, PROBLEM, LOG = "job.json", "weights.safetensors", "problem.txt", "torchrun.log"


def solve_together(
    version: DataVersion, encoder: Encoder, pretext: PretextConfig, training: Training
) -> Solution:
    """Train an encoder by a pretext task in ``training.devices`` processes.

    Each batch is divided between them and their gradients are averaged, so that a task which draws
    nothing by lot takes the steps that one process takes, up to rounding; tasks that draw crops or
    holes draw others in each process.

    Args:
        version: Data, whose normal training images are used.
        encoder: With the weights to begin from; it is not changed.
        pretext: The self-supervised task.
        training: How images are read, the device, and the number of processes.

    Raises:
        InvalidInputError: If there are fewer GPUs than processes.
        TrainingError: If a process fails; says why.
    """
    _check_devices(training)
    with scratch("ranks") as folder:
        prepare(folder, version, encoder, pretext, training)
        with (folder / LOG).open("wb") as log:
            done = subprocess.run(
                [
                    *_torchrun(training.devices),
                    "-m",
                    "tasks.training.pretext.torchrun",
                    str(folder),
                ],
                cwd=workspace.root(),
                env=_environment(training.devices),
                stdout=log,
                stderr=log,
                check=False,
            )
        try:
            return solve.read(folder)
        except OSError as error:
            raise TrainingError(_problem(folder, done.returncode)) from error


def prepare(
    folder: Path,
    version: DataVersion,
    encoder: Encoder,
    pretext: PretextConfig,
    training: Training,
) -> None:
    """Write to a folder what ``main`` is to do; arguments as in ``solve_together``."""
    job = {
        "version": version,
        "encoder": encoder.config,
        "pretext": pretext,
        "training": training,
    }
    (folder / JOB).write_text(json.dumps(config_json.to_json(job)))
    save_file(tensors.plain(encoder.state_dict()), folder / WEIGHTS)


def _torchrun(num: int) -> list[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*command, "--nproc-per-node", str(num)]


def _check_devices(training: Training) -> None:
    gpus = torch.cuda.device_count() if training.device != "cpu" else 0
    if 0 < gpus < training.devices:
        raise InvalidInputError(
            f"devices must be at most the number of GPUs, {gpus}, got {training.devices}. Ask for "
            "fewer, or for --device cpu."
        )


def _environment(num: int) -> dict[str, str]:
    """The same sources as here; threads divided between the processes."""
    sources = str(Path(__file__).parents[3])
    paths = [sources, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "OMP_NUM_THREADS": str(max(torch.get_num_threads() // num, 1)),
    }


def _problem(folder: Path, code: int) -> str:
    if (folder / PROBLEM).exists():
        return (folder / PROBLEM).read_text()
    said = (folder / LOG).read_text(errors="replace").strip().splitlines() or ["nothing"]
    return (
        f"The processes of torchrun must solve the pretext task, and ended with code {code}. Its "
        f"last words: {' '.join(said[-5:])[-1000:]}"
    )


def main(folder: Path) -> None:
    """Be one of the processes: do what the folder says, and leave the solution there.

    Raises:
        UnseenError: As solving the task raises it; its message is left in the folder too.
    """
    workspace.configure()
    try:
        _work(folder)
    except UnseenError as error:
        (folder / PROBLEM).write_text(str(error))
        raise


def _work(folder: Path) -> None:
    job = config_json.from_json(json.loads((folder / JOB).read_text()), importlib.import_module)
    training = job["training"]
    fabric = devices.fabric(training.device, training.devices)
    trunk = job["encoder"].build()
    trunk.load_state_dict(load_file(folder / WEIGHTS))
    snapshot = snapshots.open_version(job["version"])
    images, held_out = inputs.pretext_batches(snapshot, training, job["pretext"])
    solution = solve.solve(job["pretext"].build(trunk), images, held_out, fabric)
    if solution is not None:
        solution.write(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
