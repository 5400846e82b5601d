"""One of the processes that solve a pretext task together: ``torchrun -m tasks.rank FOLDER``."""

import importlib
import json
import sys
from pathlib import Path

from safetensors.torch import load_file

from models.errors import UnseenError
from tasks import datasets, devices, inputs, package, project, ranks
from tasks.solve import solve


def main(folder: Path) -> None:
    """Do what ``ranks.solve_together`` wrote to the folder, and leave the solution there.

    Raises:
        UnseenError: As solving the task raises it; its message is left in the folder too.
    """
    project.configure()
    try:
        _work(folder)
    except UnseenError as error:
        (folder / ranks.PROBLEM).write_text(str(error))
        raise


def _work(folder: Path) -> None:
    job = package.from_json(json.loads((folder / ranks.JOB).read_text()), importlib.import_module)
    training = job["training"]
    fabric = devices.fabric(training.device, training.devices)
    trunk = job["encoder"].build()
    trunk.load_state_dict(load_file(folder / ranks.WEIGHTS))
    snapshot = datasets.open_version(job["version"])
    images, held_out = inputs.pretext_batches(snapshot, training, job["pretext"])
    solution = solve(job["pretext"].build(trunk), images, held_out, fabric)
    if solution is not None:
        solution.write(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
