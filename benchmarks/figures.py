"""Write the tables of ``docs/figures.md`` from the files of ``benchmarks/results``.

    python -m benchmarks.figures

No figure of that page is typed: ``make figures`` writes it anew.
"""

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from benchmarks._result import FOLDER
from benchmarks._sources import ROOT
from benchmarks.check_results import is_stale

PAGE = ROOT / "docs" / "figures.md"
HEAD = """# Figures

Written by `make figures` from `benchmarks/results`; every file there is
written by its benchmark, and `make check` refuses one that was edited. A *stale* table is one whose
benchmark, or what it imports of the project, has changed since: its figures are those of the commit
named. ± is the standard deviation over seeds; what was measured once has none.
"""
BESIDE = ("std", "min", "max")
"""What stands beside a figure in its row, by the ending of its name."""


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page, of results by name."""
    sections = (section(name, result, is_stale(result)) for name, result in results.items())
    return "\n".join([HEAD, *sections])


def section(name: str, result: Mapping[str, Any], stale: bool) -> str:  # noqa: FBT001
    """Title, origin and table of one result."""
    origin = [
        f"`{' '.join(['python -m', result['module'], *result['arguments']])}`",
        f"commit {result['commit'][:10]}{' with changes' * result['commit'].endswith('+')}",
        result["date"],
        f"seeds {', '.join(map(str, result['seeds']))}"
        if len(result["seeds"]) < 6
        else f"{len(result['seeds'])} seeds",
        f"{result['hardware']['processor']}, {result['hardware']['cores']} cores"
        + f", {result['hardware']['gpu']}" * (result["hardware"]["gpu"] != "none"),
    ]
    lines = [f"## {name}{' (stale)' * stale}", "", claim(result["module"], result["arguments"]), ""]
    lines += ["; ".join(origin) + ".", ""]
    lines += [f"- {key}: {note}." for key, note in result["notes"].items()]
    rows = table(result["metrics"], spread=len(result["seeds"]) > 1)
    return "\n".join([*lines, *[""] * bool(result["notes"]), *rows, ""])


def claim(module: str, arguments: Iterable[str] = ()) -> str:
    """First paragraph of a benchmark's docstring, or the one about an option of the run."""
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    doc = ast.get_docstring(ast.parse(path.read_text())) if path.exists() else None
    first, *others = (doc or "").split("\n\n")
    begins = tuple(f"With ``{argument}``," for argument in arguments)
    return " ".join(next((each for each in others if each.startswith(begins)), first).split())


def table(metrics: Mapping[str, float], *, spread: bool = True) -> Iterator[str]:
    """One row for each figure, with deviation and range in columns of their own if there are.

    Args:
        metrics: Figures by name.
        spread: Whether there are several seeds: what was measured once has no deviation.
    """
    names = [name for name in metrics if not _base(name, metrics)]
    columns = [end for end in BESIDE if any(f"{name}_{end}" in metrics for name in names)]
    columns = [end for end in columns if spread or end != "std"]
    titles = {"std": "±", "min": "least", "max": "most"}
    yield "| figure | value | " + "".join(f"{titles[end]} | " for end in columns)
    yield "|---|---:|" + "---:|" * len(columns)
    for name in names:
        cells = [metrics.get(f"{name}_{end}") for end in columns]
        shown = "".join(f"{'' if cell is None else number(cell)} | " for cell in cells)
        yield f"| {name} | {number(metrics[name])} | {shown}".rstrip()


def number(value: float) -> str:
    """As it was written, without needless digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _base(name: str, metrics: Mapping[str, float]) -> bool:
    """Whether a figure stands beside another one."""
    head, _, end = name.rpartition("_")
    return end in BESIDE and head in metrics


def main() -> None:
    """Write the page."""
    results = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
    PAGE.write_text(page(results))
    print(f"{PAGE.relative_to(ROOT)}: {len(results)} results")


if __name__ == "__main__":
    main()
