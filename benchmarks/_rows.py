"""Rows of the table of features: measured one by one, and kept as they come."""

import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks._result import over_seeds
from benchmarks._sources import digest, main_module


class Rows:
    """Figures of each (row, set, seed), in a file that a killed run leaves behind.

    The file belongs to these settings and to the sources of the benchmark, followed through its
    imports: once one of them changes, another begins.

    Args:
        settings: What the figures depend on.
        folder: Where the file lies; a folder for temporary files if None.
    """

    def __init__(self, settings: Mapping[str, object], folder: Path | None = None) -> None:
        described = json.dumps(settings, sort_keys=True, default=str)
        sources = digest(main_module()) if main_module() else ""
        name = hashlib.sha256(f"{described}{sources}".encode()).hexdigest()[:16]
        folder = folder or Path(tempfile.gettempdir()) / "unseen-benchmark-pretext"
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.jsonl"
        self._figures: dict[tuple[str, str, int], dict[str, float]] = {}
        self.notes: dict[str, str] = {}
        self._seconds: dict[tuple[str, str, int], float] = {}
        self._since = time.perf_counter()
        for line in self.path.read_text().splitlines() if self.path.is_file() else ():
            self._keep(json.loads(line))

    def __contains__(self, place: tuple[str, str, int]) -> bool:
        return place in self._figures

    def __getitem__(self, place: tuple[str, str, int]) -> Mapping[str, float]:
        """Figures of a row on a set, for one seed."""
        return self._figures[place]

    def add(
        self, row: str, image_set: str, seed: int, figures: Mapping[str, float], note: str = ""
    ) -> None:
        """Keep the figures of a row on a set, for one seed."""
        now = time.perf_counter()
        record = {"row": row, "set": image_set, "seed": seed, "figures": figures, "note": note}
        record["seconds"], self._since = now - self._since, now
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self._keep(record)

    def figures(self) -> dict[tuple[str, str, int], dict[str, float]]:
        """All that was kept, by row, set and seed."""
        return dict(self._figures)

    def metrics(self) -> dict[str, float]:
        """Mean and spread over seeds, as ``<figure>_<row>_<set>`` and the same with ``_std``."""
        metrics: dict[str, float] = {}
        for name, values in self.values().items():
            metrics |= over_seeds(name, values)
        return metrics

    def seconds(self) -> dict[str, float]:
        """Mean time from one row to the next, by ``<row>_<set>``."""
        spent: dict[str, list[float]] = {}
        for (row, image_set, _), seconds in sorted(self._seconds.items()):
            spent.setdefault(f"{row}_{image_set}", []).append(seconds)
        return {name: statistics.fmean(values) for name, values in spent.items()}

    def values(self) -> dict[str, list[float]]:
        """What each seed gave, as ``<figure>_<row>_<set>``."""
        collected: dict[str, list[float]] = {}
        for (row, image_set, _), figures in sorted(self._figures.items()):
            for figure, value in figures.items():
                collected.setdefault(f"{figure}_{row}_{image_set}", []).append(value)
        return collected

    def table(self, figures: Iterable[str]) -> str:
        """The means and spreads of some figures: one line for each row."""
        metrics = self.metrics()
        names = list(dict.fromkeys(row for row, _, _ in self._figures))
        sets = sorted({image_set for _, image_set, _ in self._figures})
        columns = [
            (figure, image_set)
            for figure in figures
            for image_set in sets
            if any(f"{figure}_{row}_{image_set}" in metrics for row in names)
        ]
        lines = [["", *(f"{figure} {image_set}" for figure, image_set in columns)]]
        for row in names:
            cells = [f"{figure}_{row}_{image_set}" for figure, image_set in columns]
            lines.append(
                [
                    row,
                    *(_cell(metrics, c) for c in cells),
                ]
            )
        widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def _keep(self, record: dict[str, object]) -> None:
        row, image_set, seed = record["row"], record["set"], record["seed"]
        place = (row, image_set, seed)
        self._figures[place] = record["figures"]  # type: ignore[index, assignment]
        self._seconds[place] = record.get("seconds", 0.0)  # type: ignore[index, assignment]
        if record["note"]:
            self.notes[f"{row}_{image_set}"] = str(record["note"])


def _cell(metrics: Mapping[str, float], name: str) -> str:
    """Mean and spread of a figure, as far as there are."""
    if name not in metrics:
        return "-"
    spread = metrics.get(f"{name}_std")
    return f"{metrics[name]:.3f}" + ("" if spread is None else f" ±{spread:.3f}")
