"""How every benchmark reports: one JSON file, which only a program writes, printed last."""

import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks._sources import PROJECT, ROOT, digest, main_module

FOLDER = Path(__file__).with_name("results")
PACKAGES = ("unseen", "torch", "lightning-fabric", "scikit-learn", "mlflow", "prefect", "dvc")
BEGAN = time.perf_counter()


def report(
    benchmark: str,
    metrics: Mapping[str, float],
    *,
    seeds: Sequence[int],
    notes: Mapping[str, str] | None = None,
    durations: Mapping[str, float] | None = None,
) -> Path:
    """Write ``benchmarks/results/<benchmark>.json`` and print it.

    Args:
        benchmark: Name of the benchmark.
        metrics: Its figures.
        seeds: That the figures were taken with.
        notes: What else a reader must know, such as the data version.
        durations: Seconds of parts of the work, some of which may have been done by earlier runs.

    Returns:
        The file.
    """
    module = main_module() or f"benchmarks.{benchmark}"
    result = {
        "benchmark": benchmark,
        "module": module,
        "arguments": ["DIR" if Path(each).exists() else each for each in sys.argv[1:]],
        "metrics": {name: rounded(float(value)) for name, value in metrics.items()},
        "seeds": list(seeds),
        "seconds": rounded(time.perf_counter() - BEGAN),
        "durations": {name: rounded(value) for name, value in (durations or {}).items()},
        "commit": commit(),
        "sources": digest(module),
        "hardware": hardware(),
        "versions": versions(),
        "notes": dict(notes or {}),
        "date": datetime.now(UTC).date().isoformat(),
    }
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{benchmark}.json"
    path.write_text(sealed(result))
    print(path.read_text())
    return path


def sealed(result: Mapping[str, Any]) -> str:
    """A result as JSON with the digest of all that it says, by which an edit is found."""
    content = {name: value for name, value in result.items() if name != "digest"}
    return json.dumps({**content, "digest": content_digest(content)}, indent=1) + "\n"


def content_digest(result: Mapping[str, Any]) -> str:
    """Digest of a result without the one that it carries."""
    content = {name: value for name, value in result.items() if name != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def over_seeds(name: str, values: Sequence[float]) -> dict[str, float]:
    """Mean of a figure, and with several seeds its standard deviation as ``<name>_std``."""
    found = {name: statistics.fmean(values)}
    return {**found, f"{name}_std": statistics.stdev(values)} if len(values) > 1 else found


def rounded(value: float) -> float:
    """To four digits behind the point; of what is smaller, four digits that count."""
    return round(value, 4) if abs(value) >= 0.01 else float(f"{value:.4g}")


def commit() -> str:
    """Commit of the sources, with ``+`` if they were changed since; ``unknown`` without git."""
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--", *PROJECT, ":!benchmarks/results")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + "+" * bool(changed)


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


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _processor() -> str:
    """Model of the processor, as Linux names it; else as Python does."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
