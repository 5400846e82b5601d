"""How long the whole lifecycle takes on the embedded data, and how good the detector is.

Claims: first run within 6 minutes on two cores, an unchanged run within 25 s, less than 20% of the
first run outside training and evaluation; a trace in less than 3 s of its own work, that is without
starting Python and importing libraries; frame AUC and pixel-level EER of ``walkway`` over seeds.

    python -m benchmarks.lifecycle [--seeds 3]
"""

import argparse
import json
import sqlite3
from datetime import datetime

from benchmarks._product import Product, product
from benchmarks._result import over_seeds, report

WORK = ("pretrain", "fit", "evaluate")
"""Tasks that train or evaluate; the rest of a run is orchestration."""
TRACE = """
import time
from tasks.platform import workspace
workspace.configure()
import mlflow.store.model_registry.sqlalchemy_store, mlflow.store.tracking.sqlalchemy_store
from flows.cli.tables import trace_output
started = time.perf_counter()
trace_output("walkway", None, None)
print(time.perf_counter() - started)
"""


def seconds_of_work(clone: Product) -> float:
    """Seconds that the first flow run spent in training and evaluation, as Prefect recorded it."""
    with sqlite3.connect(clone.folder / ".unseen" / "prefect" / "prefect.db") as database:
        rows = database.execute(
            "select name, start_time, end_time from task_run where state_type = 'COMPLETED'"
        ).fetchall()
    spans = [
        datetime.fromisoformat(end) - datetime.fromisoformat(start)
        for name, start, end in rows
        if name.partition(" ")[0] in WORK
    ]
    if len(spans) != len(WORK):
        raise RuntimeError(f"Prefect must have recorded {WORK} once each, got {rows}.")
    return sum(span.total_seconds() for span in spans)


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", help="not needed: the data are embedded")
    seeds = range(parser.parse_args().seeds)
    with product() as clone:
        first = clone.unseen("retrain", "--seed", "0")
        work = seconds_of_work(clone)
        quality = [clone.metrics("walkway")]
        unchanged = clone.unseen("retrain", "--seed", "0")
        trace = clone.unseen("trace", "walkway", "--json")
        own = float(clone.python("-c", TRACE).output.splitlines()[-1])
        for seed in seeds[1:]:
            clone.unseen("retrain", "--seed", str(seed))
            quality.append(clone.metrics("walkway"))
    version = json.loads(trace.output)
    report(
        "lifecycle",
        {
            "first_run_s": first.seconds,
            "unchanged_run_s": unchanged.seconds,
            "overhead_share": 1 - work / first.seconds,
            "trace_s": trace.seconds,
            "trace_own_s": own,
            "peak_memory_gb": first.peak_memory_gb,
            **over_seeds("walkway_frame_auc", [found["frame_auc"] for found in quality]),
            **over_seeds("walkway_pixel_eer", [found["pixel_eer"] for found in quality]),
        },
        seeds=list(seeds),
        notes={"data": version["data"]["version"]["digest"]},
    )


if __name__ == "__main__":
    main()
