"""How long commands that only ask take as whole processes, beside the import of MLflow alone.

Claims: ``unseen --help`` under 0.5 s; ``unseen models``, ``history`` and ``trace`` under 2 s on two
quiet cores, each less than the import of MLflow takes. Figures are medians of processes that take
turns; ``*_ratio`` is a command's time divided by that of ``python -c "import mlflow"`` in one run.

    python -m benchmarks.cli [--rounds 5]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._result import report
from tests.old_store import unpack

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "import_mlflow": ["-c", "import mlflow"],
    "help": ["-m", "flows.cli", "--help"],
    "models": ["-m", "flows.cli", "models"],
    "history": ["-m", "flows.cli", "history", "squares"],
    "trace": ["-m", "flows.cli", "trace", "squares"],
}


def seconds(command: list[str], folder: Path) -> float:
    """How long a Python process takes, from its start to its end."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, check=True, capture_output=True
    )
    return time.perf_counter() - started


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        folder = unpack(Path(temporary) / "project")
        for command in COMMANDS.values():
            seconds(command, folder)  # files are in memory afterwards, and bytecode is written
        taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for _ in range(rounds):
            for name, command in COMMANDS.items():
                taken[name].append(seconds(command, folder))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    metrics = {f"{name}_s": value for name, value in medians.items()}
    for name, value in medians.items():
        if name != "import_mlflow":
            metrics[f"{name}_ratio"] = value / medians["import_mlflow"]
    report("cli", metrics, seeds=[], notes={"rounds": str(rounds)})


if __name__ == "__main__":
    main()
