"""One of the processes that solve a pretext task together: ``torchrun -m ... FOLDER``."""

import importlib
import json
import sys
from pathlib import Path

from safetensors.torch import load_file

from models.errors import UnseenError
from tasks.data import snapshots
from tasks.packaging import package
from tasks.platform import workspace
from tasks.training import devices, inputs
from tasks.training.pretext import torchrun
from tasks.training.pretext.solve import solve


def main(folder: Path) -> None:
    """Do what ``ranks.solve_together`` wrote to the folder, and leave the solution there.

    Raises:
        UnseenError: As solving the task raises it; its message is left in the folder too.
    """
    workspace.configure()
    try:
        _work(folder)
    except UnseenError as error:
        (folder / torchrun.PROBLEM).write_text(str(error))
        raise


def _work(folder: Path) -> None:
    job = package.from_json(
        json.loads((folder / torchrun.JOB).read_text()), importlib.import_module
    )
    training = job["training"]
    fabric = devices.fabric(training.device, training.devices)
    trunk = job["encoder"].build()
    trunk.load_state_dict(load_file(folder / torchrun.WEIGHTS))
    snapshot = snapshots.open_version(job["version"])
    images, held_out = inputs.pretext_batches(snapshot, training, job["pretext"])
    solution = solve(job["pretext"].build(trunk), images, held_out, fabric)
    if solution is not None:
        solution.write(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
