"""Rows of the table of features: measured one by one, and kept as they come."""

import hashlib
import json
import statistics
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


class Rows:
    """Figures of each (row, set, seed), in a file that a killed run leaves behind.

    The file belongs to these settings and to the sources of the models and of the benchmark: once
    one of them changes, another begins.

    Args:
        settings: What the figures depend on.
        folder: Where the file lies; a folder for temporary files if None.
    """

    def __init__(self, settings: Mapping[str, object], folder: Path | None = None) -> None:
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
        for source in sorted(
            [*(ROOT / "models").rglob("*.py"), *Path(__file__).parent.glob("*.py")]
        ):
            digest.update(source.read_bytes())
        folder = folder or Path(tempfile.gettempdir()) / "unseen-benchmark-pretext"
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{digest.hexdigest()[:16]}.jsonl"
        self._figures: dict[tuple[str, str, int], dict[str, float]] = {}
        self.notes: dict[str, str] = {}
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
        record = {"row": row, "set": image_set, "seed": seed, "figures": figures, "note": note}
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self._keep(record)

    def figures(self) -> dict[tuple[str, str, int], dict[str, float]]:
        """All that was kept, by row, set and seed."""
        return dict(self._figures)

    def metrics(self) -> dict[str, float]:
        """Mean and spread over seeds, as ``<figure>_<row>_<set>`` and the same with ``_std``."""
        metrics = {}
        for name, values in self.values().items():
            metrics[name] = statistics.fmean(values)
            metrics[f"{name}_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
        return metrics

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
                    *(
                        f"{metrics[c]:.3f} ±{metrics[f'{c}_std']:.3f}" if c in metrics else "-"
                        for c in cells
                    ),
                ]
            )
        widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def _keep(self, record: dict[str, object]) -> None:
        row, image_set, seed = record["row"], record["set"], record["seed"]
        self._figures[row, image_set, seed] = record["figures"]  # type: ignore[index, assignment]
        if record["note"]:
            self.notes[f"{row}_{image_set}"] = str(record["note"])
