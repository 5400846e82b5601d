"""Write ``docs/figures.md`` and the figures of the README from the files of ``benchmarks/results``.

    python -m benchmarks.figures

None of these figures is typed: ``make figures`` writes them anew.
"""

import ast
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from string import Formatter
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
README = ROOT / "README.md"
BEGIN, END = "<!-- make figures -->", "<!-- end of make figures -->"
"""Around the table in the README."""
HIGHLIGHTS: Sequence[tuple[str, str, str]] = (
    (
        "PatchCore on four sets of stills, image AUROC: pill, cookies, solar cells, tiles",
        ", ".join(
            f"{{stills[{each}_patchcore_image_auroc]:.3f}}"
            for each in ("mvtec_pill", "cookies", "elpv_mono", "magnetic_tile")
        ),
        "anomalib's on the same trunk: "
        + ", ".join(
            f"{{stills[{each}_anomalib_patchcore_image_auroc]:.3f}}"
            for each in ("mvtec_pill", "cookies", "elpv_mono", "magnetic_tile")
        ),
    ),
    (
        "MotionGaussian on UCSD Ped2, frame AUC",
        "{ped2[frame_auc]:.3f} ± {ped2[frame_auc_std]:.3f}",
        (
            "on a part of CUHK Avenue: {avenue[frame_auc_recipe_avenue]:.3f}; "
            "Deep-Anomaly as published, on Ped2: {deep_anomaly[frame_auc]:.3f}"
        ),
    ),
    (
        "PaDiM, images of 256 x 256 to scores and maps",
        "{throughput[padim_ips]:.0f} a second",
        (
            "anomalib's: {throughput[anomalib_padim_torch_ips]:.0f}, "
            "by OpenVINO {throughput[anomalib_padim_openvino_ips]:.0f}"
        ),
    ),
    (
        "requests served, of one image of 64 x 64",
        "{serving[requests_per_s]:.0f} a second",
        "{serving[ratio]:.1f} times `mlflow models serve` with the same model",
    ),
    (
        "requests that failed while the champion changed",
        "{serving[swap_failures]:.0f} of {serving[swap_requests]:,.0f}",
        "{serving[swaps]:.0f} changes",
    ),
    (
        "exchangeable clips called anomalous",
        "{conformal[exchangeable_clips_05]:.1%} ± {conformal[exchangeable_clips_05_std]:.1%}",
        "set: 5%",
    ),
    (
        "inconsistencies after kills",
        "{crash[inconsistencies]:.0f}",
        "{crash[kills]:.0f} kills, {crash[scenarios]:.0f} steps that hinder",
    ),
)
"""What, the figure and what stands beside it, with figures by the names of their results."""
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


def highlights(results: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The table of the README, of results by name."""
    metrics = {name: result["metrics"] for name, result in results.items()}
    yield from ("| what | figure | beside it | by |", "|---|---|---|---|")
    for what, *cells in HIGHLIGHTS:
        fields = [field for cell in cells for _, field, _, _ in Formatter().parse(cell) if field]
        names = dict.fromkeys(field.partition("[")[0] for field in fields)
        by = ", ".join(f"`{name}`{' (stale)' * is_stale(results[name])}" for name in names)
        yield f"| {' | '.join([what, *(cell.format(**metrics) for cell in cells), by])} |"


def with_highlights(readme: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """The README with its table written anew.

    Raises:
        ValueError: If it does not have the place of the table.
    """
    head, begin, rest = readme.partition(f"{BEGIN}\n")
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md must have the lines {BEGIN} and {END}, in this order.")
    return "".join([head, begin, *(f"{line}\n" for line in highlights(results)), end, tail])


def number(value: float) -> str:
    """As it was written, without needless digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _base(name: str, metrics: Mapping[str, float]) -> bool:
    """Whether a figure stands beside another one."""
    head, _, end = name.rpartition("_")
    return end in BESIDE and head in metrics


def main() -> None:
    """Write the page and the table of the README."""
    results = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
    PAGE.write_text(page(results))
    README.write_text(with_highlights(README.read_text(), results))
    print(f"{PAGE.relative_to(ROOT)}: {len(results)} results")


if __name__ == "__main__":
    main()
