"""What is left after a crash: kill the product at many moments, run it again, and look.

Claims: at least 200 kills and steps of scenarios. Killed (SIGKILL of the whole process group) are
retrain, ingest, promote and rollback, at every boundary of every task and at seeded moments. The
scenarios: git that refuses, a pull between, decisions of people, deleted versions, a lost cache, a
moved folder, a full disk, no network, our own addresses exported. After each of them, and after
each command that then runs to its end, the registry, the history, the data versions and the
remembered results are consistent, nothing is lost, nothing that a person decided is undone, no
finished task is computed again, no temporary file stays and nobody is shown a traceback.

    python -m benchmarks.crash [--quick] [--minutes 25]

An interrupted campaign, or one out of time, goes on where it was when it is started again.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks._crash_rounds import (
    Campaign,
    boundaries,
    cold,
    decisions,
    ingests,
    measure,
    moments,
    outages,
)
from benchmarks._crash_scenarios import scenarios
from benchmarks._crash_workplace import Workplace
from benchmarks._result import report
from benchmarks._rows import Rows

COUNTED = ("kills", "inconsistencies", "lost", "scenarios", "undone_decisions", "tracebacks")
VERSION = 3
"""Of the plan; another one begins anew."""

PLAN: dict[str, tuple[Callable[[Campaign, int], None], int, int]] = {
    "boundaries": (boundaries, 2, 1),
    "measure": (measure, 1, 1),
    "moments": (moments, 6, 1),
    "ingests": (ingests, 8, 1),
    "decisions": (decisions, 6, 1),
    "outages": (outages, 2, 1),
    "scenarios": (scenarios, 2, 1),
    "cold": (cold, 2, 0),
}
"""Rounds in their order: what, how many, and how many in a quick campaign."""


def rounds(*, quick: bool) -> Iterator[tuple[str, int]]:
    """Name and seed of every round, in order."""
    seed = 0
    for name, (_, full, few) in PLAN.items():
        for _ in range(few if quick else full):
            seed += 1
            yield name, seed


def main() -> None:
    """Run the campaign, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--quick", action="store_true", help="one round of each cheap kind, no result"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="then stop, to be resumed")
    parser.add_argument(
        "--folder", type=Path, help="where to work; a temporary folder if not given"
    )
    parser.add_argument("--data", help="not needed: the data are made here")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.gettempdir()) / "unseen-benchmark-crash"
    folder.mkdir(parents=True, exist_ok=True)
    rows = Rows({"plan": VERSION, "quick": options.quick}, folder)
    deadline = time.monotonic() + 60 * options.minutes
    place = Workplace(folder / rows.path.stem)
    place.prepare()
    try:
        done = _work(place, rows, deadline, quick=options.quick)
    finally:
        place.stop()
    if not done:
        print("Out of time; run the same command again to go on.", flush=True)
        sys.exit(75)
    _report(rows, quick=options.quick)


def _work(place: Workplace, rows: Rows, deadline: float, *, quick: bool) -> bool:
    """Run the rounds that are not done yet; False if the time is over."""
    for name, seed in rounds(quick=quick):
        if (name, "", seed) in rows:
            continue
        if time.monotonic() > deadline:
            return False
        campaign, started = Campaign(place, _changes(rows)), time.monotonic()
        PLAN[name][0](campaign, seed)
        seconds = time.monotonic() - started
        rows.add(
            name,
            "",
            seed,
            {
                "kills": campaign.kills,
                "inconsistencies": len(campaign.found),
                "lost": len(campaign.lost),
                "scenarios": campaign.steps,
                "undone_decisions": campaign.undone,
                "tracebacks": campaign.tracebacks,
                "seconds": seconds,
                **{f"changes_{name}": count for name, count in campaign.changes.items()},
                **_rollback(campaign),
            },
        )
        print(
            f"{name} {seed}: {campaign.kills} kills, {len(campaign.found)} inconsistencies, "
            f"{len(campaign.lost)} lost, {seconds:.0f} s",
            flush=True,
        )
    return True


def _changes(rows: Rows) -> dict[str, int]:
    """How many changes each command makes, if that was counted already."""
    known = [figures for (name, _, _), figures in rows.figures().items() if name == "measure"]
    counted = known[0] if known else {}
    prefix = "changes_"
    return {k.removeprefix(prefix): int(v) for k, v in counted.items() if k.startswith(prefix)}


def _rollback(campaign: Campaign) -> dict[str, float]:
    if not campaign.rollbacks:
        return {}
    wall, own = campaign.rollbacks[-1]
    return {"rollback_s": wall, "rollback_cpu_s": own}


def _report(rows: Rows, *, quick: bool) -> None:
    figures = rows.figures()
    metrics = {key: sum(each[key] for each in figures.values()) for key in COUNTED}
    for name in PLAN:
        chosen = [each["kills"] for (row, _, _), each in figures.items() if row == name]
        metrics[f"kills_{name}"] = sum(chosen)
    metrics["rounds"] = len(figures)
    for key in ("rollback_s", "rollback_cpu_s"):
        metrics[key] = statistics.median(each[key] for each in figures.values() if key in each)
    for name, count in _changes(rows).items():
        metrics[f"changes_{name}"] = count
    if quick:
        print(json.dumps(metrics, indent=1))
        return
    report(
        "crash",
        metrics,
        seeds=sorted(seed for _, _, seed in figures),
        notes={
            "recipe": "nearest neighbours on 12 generated images of 64 x 64",
            "processes": "forked from one with the libraries imported; 'cold' ones from nothing",
        },
    )


if __name__ == "__main__":
    main()
