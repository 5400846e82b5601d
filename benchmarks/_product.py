"""Drive the product as a user does: the command line, in a fresh clone, in processes of its own."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
STARTED = ("flows",)
"""What of the project runs in processes of its own; its sources count with a result's."""
TAG = "unseen."
QUIET = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One finished command."""

    seconds: float
    peak_memory_gb: float
    output: str


class Product:
    """A clone of this repository's last commit, with a store and a Prefect server of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "clone", "-q", ROOT, folder], check=True)
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("MLFLOW_", "PREFECT_"))
        }
        self.store = f"sqlite:///{folder / '.unseen' / 'mlflow.db'}"
        self.environment = {**inherited, **QUIET, "PYTHONPATH": str(folder)}

    def unseen(self, *arguments: str) -> Run:
        """Run one ``unseen`` command; its failure is an exception that shows the output."""
        return self.python("-m", "flows.cli", *arguments)

    def python(self, *arguments: str) -> Run:
        """Run Python in the clone; its failure is an exception that shows the output."""
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - started
        if done.returncode:
            command = " ".join(arguments)
            raise RuntimeError(f"python {command} failed:\n{done.stdout}{done.stderr}")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        return Run(seconds=seconds, peak_memory_gb=peak, output=done.stdout)

    def metrics(self, name: str) -> dict[str, float]:
        """Metrics of the newest version of a registered model, from its tags."""
        from mlflow import MlflowClient

        versions = MlflowClient(self.store, self.store).search_model_versions(f"name='{name}'")
        newest = max(versions, key=lambda version: int(version.version))
        prefix = f"{TAG}metric."
        found = {k.removeprefix(prefix): v for k, v in newest.tags.items() if k.startswith(prefix)}
        return {key: float(value) for key, value in found.items()}


@contextmanager
def product() -> Iterator[Product]:
    """A clone in a temporary folder, whose Prefect server is stopped at the end."""
    with TemporaryDirectory() as folder:
        clone = Product(Path(folder) / "unseen")
        try:
            yield clone
        finally:
            clone.unseen("down")
