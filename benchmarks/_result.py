"""How every benchmark reports: one JSON file, printed last."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

FOLDER = Path(__file__).with_name("results")
PACKAGES = ("unseen", "torch", "lightning-fabric", "scikit-learn", "mlflow", "prefect", "dvc")


def report(
    benchmark: str,
    metrics: Mapping[str, float],
    *,
    seeds: Sequence[int],
    notes: Mapping[str, str] | None = None,
) -> Path:
    """Write ``benchmarks/results/<benchmark>.json`` and print it.

    Args:
        benchmark: Name of the benchmark.
        metrics: Its figures.
        seeds: That the figures were taken with.
        notes: What else a reader must know, such as the data version.

    Returns:
        The file.
    """
    result = {
        "benchmark": benchmark,
        "metrics": {name: rounded(float(value)) for name, value in metrics.items()},
        "seeds": list(seeds),
        "hardware": hardware(),
        "versions": versions(),
        **({"notes": dict(notes)} if notes else {}),
        "date": datetime.now(UTC).date().isoformat(),
    }
    text = json.dumps(result, indent=1)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{benchmark}.json"
    path.write_text(text + "\n")
    print(text)
    return path


def rounded(value: float) -> float:
    """To four digits behind the point; of what is smaller, four digits that count."""
    return round(value, 4) if abs(value) >= 0.01 else float(f"{value:.4g}")


def hardware() -> dict[str, str | int]:
    """Processor, cores and GPU; nothing that names the machine."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "gpu": gpu,
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor() -> str:
    """Model of the processor, as Linux names it; else as Python does."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
